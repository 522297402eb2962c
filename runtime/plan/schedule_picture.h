// Pictures of schedules on paper: for a terminal, for a page, for other programs. Pure functions.
#ifndef RUNTIME_PLAN_SCHEDULE_PICTURE_H_
#define RUNTIME_PLAN_SCHEDULE_PICTURE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/plan/action.h"
#include "runtime/plan/draw.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// `simulation` is SimulateSchedule's of the schedule; `title` is any text, shown on one line.

// Time runs right, to scale, one line per rank, never wider than options.width (40 at least): F, b (input gradient), w
// (weight gradient), B (both), r (recompute), each with its micro-batch where there is room, an apostrophe per later
// chunk of the rank, '.' where the rank idles. Where all times are multiples of one unit, so are the columns.
std::string DrawScheduleGrid(const Schedule& schedule, const ScheduleSimulation& simulation, absl::string_view title,
                             const DrawOptions& options);

// One self-contained SVG image. One <rect class="action"> per action, with its name and times as a tooltip, its
// micro-batch's number where there is room, and a bar along the bottom on later chunks. The fills lie apart in
// brightness, so a grey print reads too.
std::string ScheduleSvg(const Schedule& schedule, const ScheduleSimulation& simulation, absl::string_view title);

// One JSON object: schedule (the title), valid, ranks, stages, micro_batches, rank_of_stage, makespan, longest_span,
// bubble_rate, bubble_over_ideal, conventions (what those two are), peak_in_flight (by stage), peak_memory, busy, idle
// (by rank: before_first, data, link, slot, after_last), critical_path as [name, start, end], memory (by rank) as
// [time, held from then on], transfers as [name, from rank, to rank, made, admitted, begun, left, arrived], and actions
// (by rank) as [name, start, end].
std::string ScheduleJson(const Schedule& schedule, const ScheduleSimulation& simulation, absl::string_view title);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_PICTURE_H_
