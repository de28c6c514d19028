// Replays a corpus, one input a line in hexadecimal, where there is no libFuzzer.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  std::ifstream in(argc > 1 ? argv[1] : "");
  if (!in) {
    std::fprintf(stderr, "replay: cannot read a corpus; usage: replay FILE\n");
    return 2;
  }
  int64_t inputs = 0;
  for (std::string line; std::getline(in, line); inputs++) {
    if (line.size() % 2 != 0 || line.find_first_not_of("0123456789abcdef") != std::string::npos) {
      std::fprintf(stderr, "replay: line %lld is no hexadecimal\n", static_cast<long long>(inputs + 1));
      return 2;
    }
    std::vector<uint8_t> data(line.size() / 2);
    for (size_t i = 0; i < data.size(); i++)
      data[i] = static_cast<uint8_t>(std::stoi(line.substr(2 * i, 2), nullptr, 16));
    // A buffer of its own, so that a sanitizer sees a byte too far.
    LLVMFuzzerTestOneInput(data.data(), data.size());
  }
  std::printf("replay: %lld inputs\n", static_cast<long long>(inputs));
  return inputs > 0 ? 0 : 1;
}
