// A step as a picture: two lanes for each rank, the prediction above what was measured, on one time axis.
#ifndef TOOLS_REPORT_TIMELINE_SVG_H_
#define TOOLS_REPORT_TIMELINE_SVG_H_

#include <string>

#include "proto/plan.pb.h"
#include "runtime/plan/attribute.h"

namespace millrace {

// Style class of the page for a kind of work or a cause of waiting ("f", "link").
std::string StyleOf(Work work);
std::string StyleOf(Wait wait);

// An <svg> element for the page. `measured` may be nullptr: one lane each. At most 64 ranks are drawn; small steps have
// a cell with a number and a tooltip for each instruction, large ones are drawn with fewer details, so that the picture
// stays below a megabyte whatever the plan.
std::string TimelineSvg(const proto::Program& program, const Attribution& predicted, const Attribution* measured);

// How many times wider than the measurement the prediction is drawn: 1, or, for a step that took much longer than was
// predicted, as much as makes both equally wide.
double PredictionStretch(const Attribution& predicted, const Attribution& measured);

}  // namespace millrace

#endif  // TOOLS_REPORT_TIMELINE_SVG_H_
