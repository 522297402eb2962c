// Numbers in words, for people.
#ifndef TOOLS_REPORT_UNITS_H_
#define TOOLS_REPORT_UNITS_H_

#include <string>

namespace millrace {

// "12.3 MB", "987 B"
std::string BytesText(double bytes);
// "1.23 s", "45.6 ms", "7.8 us"
std::string SecondsText(double seconds);
// Milliseconds with as many decimals as they need: "123", "12.3", "1.23", "0.012"; "-" for none.
std::string Ms(double seconds);
// "12.3 (11.9)": milliseconds measured, and predicted in brackets; "-" where both are none.
std::string Both(double measured, double predicted);
// Measured over predicted: "+7.2 %"; above twice as long "2.4 times". "-" where nothing was predicted.
std::string PerCentOver(double measured, double predicted);

}  // namespace millrace

#endif  // TOOLS_REPORT_UNITS_H_
