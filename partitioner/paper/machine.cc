#include "partitioner/paper/machine.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr double kElementBytes = 2;
constexpr double kLongTile = 256, kShortTile = 128;

double Tiles(double rows, double columns, double tile_rows, double tile_columns) {
  return std::ceil(rows / tile_rows) * std::ceil(columns / tile_columns);
}

}  // namespace

double MatmulSeconds(const PaperDevice& device, int64_t rows, int64_t columns, int64_t inner, int64_t batch) {
  const double m = static_cast<double>(rows), n = static_cast<double>(columns), k = static_cast<double>(inner);
  const double products = static_cast<double>(batch);
  double flops = 2 * products * m * n * k;
  if (device.multiprocessors > 0) {
    const double units = static_cast<double>(device.multiprocessors);
    const double tiles = products * std::min(Tiles(m, n, kLongTile, kShortTile), Tiles(m, n, kShortTile, kLongTile));
    flops = std::ceil(tiles / units) * units * kLongTile * kShortTile * 2 * k;
  }
  const double traffic = kElementBytes * products * (m * k + k * n + m * n) / device.bytes_per_second;
  return std::max(flops / (device.peak_flops * device.matmul_fraction), traffic) + device.kernel_seconds;
}

double TrafficSeconds(const PaperDevice& device, double bytes, int kernels) {
  return bytes / device.bytes_per_second + kernels * device.kernel_seconds;
}

double AllGatherSeconds(const PaperMachine& machine, double bytes, const RankGroup& group) {
  if (group.ranks <= 1) return 0;
  const double ranks = static_cast<double>(group.ranks);
  const double in_host = static_cast<double>(std::clamp<int64_t>(group.in_host, 1, group.ranks));
  const double volume = bytes * (ranks - 1) / ranks;
  if (group.in_host >= group.ranks) {
    return volume / machine.inside_bytes_per_second + (ranks - 1) * machine.inside_latency;
  }
  const double rate = std::min(machine.inside_bytes_per_second, in_host * machine.between_bytes_per_second);
  // NCCL's rings between hosts are many and staggered: the start-up cost is one walk inside a host and one over the
  // hosts, not their product.
  return volume / rate + (in_host - 1) * machine.inside_latency + (ranks / in_host - 1) * machine.between_latency;
}

double AllReduceSeconds(const PaperMachine& machine, double bytes, const RankGroup& group) {
  return 2 * AllGatherSeconds(machine, bytes, group);
}

double SendSeconds(const PaperMachine& machine, double bytes, bool inside_host) {
  return inside_host ? machine.inside_latency + bytes / machine.inside_bytes_per_second
                     : machine.between_latency + bytes / machine.between_bytes_per_second;
}

}  // namespace millrace
