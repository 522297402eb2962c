"""The installed CUDA toolkit as the repository @cuda: $CUDA_HOME, else /usr/local/cuda. Without a toolkit it is empty,
and whatever needs it is built only when //kernels:cuda is set, which tools/setup.sh does where there is one."""

_BUILD = """package(default_visibility = ["//visibility:public"])

exports_files(["bin/nvcc"])

# CUDA runtime, cuBLASLt, cuDNN's backend, NCCL, NVTX. C++ in cccl/ is nvcc's own business.
cc_library(
    name = "headers",
    hdrs = glob([
        "include/*.h",
        "include/*.hpp",
        "include/cooperative_groups/**",
        "include/crt/**",
        "include/nccl_device/**",
        "include/nvtx3/**",
    ]),
    includes = ["include"],
)

# The runtime is part of the program; it finds the driver when it is first called, and says so when there is none.
# The path is where dlopen looks for the libraries that are loaded on demand.
cc_library(
    name = "cudart",
    srcs = ["lib64/libcudart_static.a"],
    linkopts = ["-ldl", "-lrt", "-lpthread", "-Wl,-rpath,%s/lib64"],
    deps = [":headers"],
)
"""

_NO_BUILD = """# No CUDA toolkit on this machine: everything that needs one is left out of the build.
package(default_visibility = ["//visibility:public"])

cc_library(name = "headers", target_compatible_with = ["@millrace//third_party/cuda:with_toolkit"])

cc_library(name = "cudart", target_compatible_with = ["@millrace//third_party/cuda:with_toolkit"])

exports_files(["bin/nvcc"])
"""

def _cuda_toolkit_impl(ctx):
    home = ctx.path(ctx.os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    if not home.get_child("bin").get_child("nvcc").exists:
        ctx.file("BUILD.bazel", _NO_BUILD)
        ctx.file("bin/nvcc", "")
        return
    for part in ["bin", "include", "lib64", "nvvm"]:
        ctx.symlink(home.get_child(part), part)
    ctx.file("BUILD.bazel", _BUILD % home)

cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    environ = ["CUDA_HOME"],
    local = True,
)
