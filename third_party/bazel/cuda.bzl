"""CUDA sources: nvcc makes objects of .cu files, which a cc_library links."""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("//third_party/bazel:defs.bzl", "COPTS")

# For targets that make no sense without a toolkit; `bazel build //...` passes over them.
ONLY_WITH_CUDA = select({
    "//kernels:with_cuda": [],
    "//conditions:default": ["//third_party/cuda:with_toolkit"],
})

# No --use_fast_math: results are to be those of the same code on the host, up to fused multiply-add.
_NVCC_FLAGS = [
    "-std=c++20",
    "-O3",
    "-lineinfo",
    # Plain constexpr functions of the shared headers, in device code too.
    "--expt-relaxed-constexpr",
    "--Werror=all-warnings",
    "-Xcompiler=-fPIC,-Wall,-Wextra,-Werror,-Wno-sign-compare,-Wno-unused-parameter",
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=sm_90",
    # For whatever comes after: the driver compiles it when it is first loaded.
    "-gencode=arch=compute_90,code=compute_90",
]

def _nvcc_objects_impl(ctx):
    contexts = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    headers = depset(ctx.files.hdrs, transitive = [context.headers for context in contexts])
    outputs = []
    for source in ctx.files.srcs:
        output = ctx.actions.declare_file("%s/%s.pic.o" % (ctx.label.name, source.basename[:-len(".cu")]))
        arguments = ctx.actions.args()
        arguments.add_all(_NVCC_FLAGS)
        arguments.add_all(ctx.attr.nvcc_flags)
        arguments.add_all([".", ctx.bin_dir.path, ctx.genfiles_dir.path], before_each = "-I", uniquify = True)
        arguments.add("-c", source)
        arguments.add("-o", output)
        ctx.actions.run(
            executable = ctx.file._nvcc,
            inputs = depset([source], transitive = [headers]),
            outputs = [output],
            arguments = [arguments],
            use_default_shell_env = True,
            mnemonic = "Nvcc",
            progress_message = "Compiling %s" % source.short_path,
        )
        outputs.append(output)
    return [DefaultInfo(files = depset(outputs))]

_nvcc_objects = rule(
    implementation = _nvcc_objects_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"]),
        "hdrs": attr.label_list(allow_files = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "nvcc_flags": attr.string_list(),
        "_nvcc": attr.label(default = "@cuda//:bin/nvcc", allow_single_file = True),
    },
)

def mr_cuda_library(name, srcs, hdrs = [], deps = [], nvcc_flags = [], **kwargs):
    """`srcs` are .cu files, each an object; `hdrs` plain headers that C++ sources may include as well. Every header that
    a .cu file includes must be here or in `deps`, or a change to it is not seen."""
    _nvcc_objects(
        name = name + "_objects",
        srcs = srcs,
        hdrs = hdrs,
        deps = deps,
        nvcc_flags = nvcc_flags,
        target_compatible_with = ONLY_WITH_CUDA,
    )
    cc_library(
        name = name,
        srcs = [":%s_objects" % name],
        hdrs = hdrs,
        # One copy of the CUDA runtime per program, in the program itself, also where tests link shared libraries.
        linkstatic = True,
        # Nothing but these objects has their symbols, wherever a linker meets them.
        alwayslink = True,
        deps = deps + ["@cuda//:cudart"],
        target_compatible_with = ONLY_WITH_CUDA,
        **kwargs
    )

def mr_emulated_cuda_library(name, srcs, deps, **kwargs):
    """The same .cu files compiled by g++ for the emulator of tests/kernels/cuda, which `deps` holds."""
    copies = []
    for source in srcs:
        copy = "%s_%s.cc" % (name, source.split(":")[1][:-len(".cu")])
        native.genrule(
            name = copy + "_copy",
            srcs = [source],
            outs = [copy],
            cmd = "cp $< $@",
        )
        copies.append(copy)
    cc_library(
        name = name,
        testonly = True,
        srcs = copies,
        copts = COPTS + ["-O2", "-include", "tests/kernels/cuda/emulator.h", "-Wno-unknown-pragmas"],
        linkstatic = True,
        alwayslink = True,
        deps = deps,
        target_compatible_with = ONLY_WITH_CUDA,
        **kwargs
    )
