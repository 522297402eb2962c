// A gradient operator beside the forward operator whose gradient it claims to be.
#ifndef TESTS_KERNELS_REFERENCE_GRADIENT_CASE_H_
#define TESTS_KERNELS_REFERENCE_GRADIENT_CASE_H_

#include <string>
#include <vector>

#include "kernels/op_desc.h"
#include "tests/conformance/kernel_case.h"

namespace millrace {

// Where an input of the gradient operator comes from.
struct GradientInput {
  enum From { ABSENT, OUTPUT_GRADIENT, INPUT, OUTPUT };
  From from = ABSENT;
  int index = 0;  // of the forward operator's input or output
};

struct GradientCase {
  std::string name;
  KernelCase forward;  // output 0 is differentiated; of a scalar output the gradient is 1, else random
  OpDesc gradient;
  std::vector<GradientInput> gradient_inputs;
  std::vector<int>
      of_input;  // output i of the gradient operator belongs to this input of the forward operator; -1: none
};

std::vector<GradientCase> AllGradientCases();

}  // namespace millrace

#endif  // TESTS_KERNELS_REFERENCE_GRADIENT_CASE_H_
