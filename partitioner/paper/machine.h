// A machine on paper: equal devices in equal hosts, fast links inside a host and slower ones between. Seconds of
// kernels, transfers and collectives on it. Plain values and pure functions, any thread.
//
// The defaults are the machine of SC21 (see transformer.h): hosts of 8 A100-80GB, NVLink inside, one 200 Gb/s port per
// GPU between. Its published figures are the peaks (312 TFLOP/s, 2 TB/s, 300 GB/s and 25 GB/s each way); what of them
// is reached (`matmul_fraction`, bandwidths, latencies and the fixed cost of a kernel) was fitted once, over the 53
// points of SC21's figures 13 to 16 and table 1 together, and is the same for all of them. docs/search.md has the
// errors.
#ifndef PARTITIONER_PAPER_MACHINE_H_
#define PARTITIONER_PAPER_MACHINE_H_

#include <cstdint>

namespace millrace {

struct PaperDevice {
  double peak_flops = 312e12;     // FLOP/s of the matrix units
  double matmul_fraction = 0.71;  // of the peak, that a large matrix multiplication reaches when every wave is full
  int64_t multiprocessors = 108;  // tiles that run at once; 0: work divides without waste (CPUs)
  double bytes_per_second = 1.9e12;
  double kernel_seconds = 9e-6;  // fixed cost of a kernel
  double memory_bytes = 80e9;    // 0: no limit
};

struct PaperMachine {
  PaperDevice device;
  int64_t devices = 1;
  int64_t devices_per_host = 8;
  // Each way, of one device. Devices of a host that stand in one ring between hosts add their ports up.
  double inside_bytes_per_second = 270e9;
  double inside_latency = 1.6e-6;
  double between_bytes_per_second = 14.5e9;
  double between_latency = 10e-6;
};

// `batch` products [rows, inner] x [inner, columns] of 2-byte elements: the longer of arithmetic and memory traffic,
// and a kernel's fixed cost. Arithmetic comes in waves of one 256 x 128 tile (or 128 x 256, whichever gives fewer) per
// multiprocessor, and a wave that is not full takes as long as one that is (NVIDIA, Matrix Multiplication Background
// User's Guide, "wave quantization"): small shapes, be it from a small micro-batch or from many shards, are slow. The
// inner dimension is not split over multiprocessors, as is right for the shapes of large transformers only.
double MatmulSeconds(const PaperDevice& device, int64_t rows, int64_t columns, int64_t inner, int64_t batch = 1);

// `kernels` kernels that read and write `bytes` in all.
double TrafficSeconds(const PaperDevice& device, double bytes, int kernels);

// Who takes part in a collective: `ranks`, `in_host` of them in each host that they touch (all, when in_host >= ranks).
struct RankGroup {
  int64_t ranks = 1;
  int64_t in_host = 1;
};

// Ring algorithms (Patarasuk and Yuan 2009): reduce-scatter and all-gather move (n - 1) / n of the bytes over each
// link in n - 1 steps; an all-reduce is both. Between hosts a ring runs at the sum of its members' ports in a host, at
// most at the speed inside. 0 for a group of one.
double AllGatherSeconds(const PaperMachine& machine, double bytes, const RankGroup& group);
double AllReduceSeconds(const PaperMachine& machine, double bytes, const RankGroup& group);

double SendSeconds(const PaperMachine& machine, double bytes, bool inside_host);

}  // namespace millrace

#endif  // PARTITIONER_PAPER_MACHINE_H_
