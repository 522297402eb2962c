"""House rules: the compiler options stand here once, and every proto becomes a C++ library."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wno-sign-compare",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
]

def mr_cc_library(name, copts = [], **kwargs):
    cc_library(name = name, copts = COPTS + copts, **kwargs)

def mr_cc_binary(name, copts = [], **kwargs):
    cc_binary(name = name, copts = COPTS + copts, **kwargs)

def mr_cc_test(name, copts = [], deps = [], size = "small", **kwargs):
    cc_test(
        name = name,
        size = size,
        # What a test does itself is short; compiling its templates is not.
        copts = COPTS + ["-O1"] + copts,
        deps = deps + ["@system//:gtest_main"],
        **kwargs
    )

def mr_proto_library(name, src, deps = [], visibility = None):
    """Runs the installed protoc on `src`; `deps` are other mr_proto_library targets."""
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_gen",
        srcs = [src] + [d + "_src" for d in deps],
        outs = [stem + ".pb.cc", stem + ".pb.h"],
        cmd = "/usr/bin/protoc -I. --cpp_out=$(GENDIR) $(location %s)" % src,
    )
    native.filegroup(
        name = name + "_src",
        srcs = [src] + [d + "_src" for d in deps],
    )
    cc_library(
        name = name,
        srcs = [stem + ".pb.cc"],
        hdrs = [stem + ".pb.h"],
        copts = ["-std=c++20"],
        visibility = visibility,
        deps = deps + ["@system//:protobuf"],
    )

def mr_grpc_library(name, src, deps, visibility = None):
    """The services of `src`, through the installed protoc and gRPC plugin; `deps` holds its mr_proto_library."""
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_gen",
        srcs = [d + "_src" for d in deps],
        outs = [stem + ".grpc.pb.cc", stem + ".grpc.pb.h"],
        cmd = "/usr/bin/protoc -I. --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=$(GENDIR) %s/%s" %
              (native.package_name(), src),
    )
    cc_library(
        name = name,
        srcs = [stem + ".grpc.pb.cc"],
        hdrs = [stem + ".grpc.pb.h"],
        copts = ["-std=c++20"],
        visibility = visibility,
        deps = deps + ["@system//:grpc"],
    )

def mr_python_test(name, src, data = [], args = [], tags = [], size = "small", **kwargs):
    """A test that is a Python script; it writes its own XML (tests/house/xml_runner.py)."""
    native.genrule(
        name = name + "_script",
        outs = [name + "_run.sh"],
        cmd = "printf '#!/bin/sh\\nexec python3 %s \"$$@\"\\n' > $@" % (native.package_name() + "/" + src),
        executable = True,
    )
    native.sh_test(
        name = name,
        size = size,
        srcs = [name + "_run.sh"],
        args = args,
        data = [src, "//tests/house:xml_runner.py"] + data,
        tags = tags,
        **kwargs
    )
