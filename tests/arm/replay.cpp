// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Runs a program on the C simulation without Python, for a processor that is emulated.
// Arguments: the program's memory, the arena, images, where the arena goes afterwards.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "../../hls/simulation/simulation.cpp"

static std::vector<char> read(const char *path) {
  std::ifstream file(path, std::ios::binary);
  return std::vector<char>(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

int main(int, char **arguments) {
  std::vector<char> program = read(arguments[1]), arena = read(arguments[2]);
  // Addresses beyond 32 bits: boards with 64 have memory there.
  const axynq_buffer code = {reinterpret_cast<std::uint8_t *>(program.data()), program.size(),
                             std::uint64_t(8) << 32};
  const axynq_buffer maps = {reinterpret_cast<std::uint8_t *>(arena.data()), arena.size(),
                             std::uint64_t(9) << 32};
  volatile std::uint32_t status = ~0u, progress = 0;
  std::vector<std::uint64_t> counts(axynq::COUNTERS);
  char message[256] = "";
  const int failed = axynq_run(&code, &maps, &maps, std::uint32_t(std::atoi(arguments[3])), &status,
                               &progress, counts.data(), message, int(sizeof(message)));
  std::ofstream(arguments[4], std::ios::binary).write(arena.data(), std::streamsize(arena.size()));
  std::fprintf(stderr, "%s", message);
  return failed || status ? 1 : 0;
}
