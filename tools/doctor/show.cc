#include "tools/doctor/show.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

// "rank 1, of 4, coordinator host:29500", "nothing", or why it cannot be.
std::string AnswerOf(const LaunchFinding& finding) {
  if (!finding.asked) return "not asked: MILLRACE_LAUNCH names another";
  if (!finding.claim.ok()) return absl::StrCat("refused: ", finding.claim.status().message());
  const Claim& claim = *finding.claim;
  std::vector<std::string> facts;
  if (claim.rank && claim.ranks_here > 1) {
    facts.push_back(absl::StrCat("ranks ", claim.rank->value, " to ", claim.rank->value + claim.ranks_here - 1));
  } else if (claim.rank) {
    facts.push_back(absl::StrCat("rank ", claim.rank->value));
  } else if (claim.node_rank) {
    facts.push_back(absl::StrCat("machine ", claim.node_rank->value));
  }
  if (claim.size) facts.push_back(absl::StrCat("of ", claim.size->value));
  if (claim.coordinator) facts.push_back(absl::StrCat("coordinator ", ToString(claim.coordinator->value)));
  std::string text = facts.empty() ? "nothing" : absl::StrJoin(facts, ", ");
  if (!claim.note.empty()) absl::StrAppend(&text, " (", claim.note, ")");
  return text;
}

std::string ContractLine(const LaunchContract& c) {
  std::string text = c.ranks_here > 1 ? absl::StrCat("ranks ", c.rank, " to ", c.rank + c.ranks_here - 1)
                                      : absl::StrCat("rank ", c.rank);
  absl::StrAppend(&text, " of ", c.size, ", local rank ", c.local_rank, " of ", c.local_size, ", machine ", c.node_rank,
                  " of ", c.nodes, ", coordinator ", c.coordinator ? ToString(*c.coordinator) : "none", ", by ",
                  c.source);
  return text;
}

std::string CoresLine(const Examination& e) {
  std::string text = absl::StrCat(e.cores.cores, " allowed: affinity ", e.cores.affinity, " of ", e.online, ", ");
  if (e.cores.quota > 0) {
    absl::StrAppendFormat(&text, "quota %.2f (%s)", e.cores.quota, e.cores.quota_from);
  } else {
    absl::StrAppend(&text, "no quota");
  }
  return text;
}

Json LaunchJson(const Examination& e) {
  Json launch = Json::object();
  if (e.contract.ok()) {
    const LaunchContract& c = *e.contract;
    launch = {
        {"source", c.source_key},     {"rank", c.rank},           {"size", c.size},   {"local_rank", c.local_rank},
        {"local_size", c.local_size}, {"node_rank", c.node_rank}, {"nodes", c.nodes}, {"ranks_here", c.ranks_here}};
    launch["coordinator"] = c.coordinator ? Json(ToString(*c.coordinator)) : Json();
    launch["evidence"] = c.evidence;
  } else {
    launch["error"] = std::string(e.contract.status().message());
  }
  Json looked = Json::array();
  for (const LaunchFinding& finding : e.findings) {
    looked.push_back({{"source", finding.source->key},
                      {"looked_for", finding.source->looked_for},
                      {"speaks", finding.asked && finding.claim.ok() && finding.claim->says_something()},
                      {"answer", AnswerOf(finding)}});
  }
  launch["looked_for"] = looked;
  return launch;
}

}  // namespace

std::string ExaminationText(const Examination& e, absl::string_view version) {
  std::string out = absl::StrCat(version, "\n\nlaunch      ");
  if (e.contract.ok()) {
    absl::StrAppend(&out, ContractLine(*e.contract), "\n");
    for (const std::string& line : e.contract->evidence) absl::StrAppend(&out, "              ", line, "\n");
  } else {
    absl::StrAppend(&out, "refused: ", e.contract.status().message(), "\n");
  }
  absl::StrAppend(&out, "\nlooked for, the first before the second\n");
  for (const LaunchFinding& finding : e.findings) {
    absl::StrAppendFormat(&out, "  %-18s  %s\n                        looked for %s\n", finding.source->name,
                          AnswerOf(finding), finding.source->looked_for);
  }
  absl::StrAppend(&out, "\ncores       ", CoresLine(e), "\n");
  for (const FoundDevice& device : e.devices) {
    absl::StrAppend(&out, "device      ", device.kind, ": ", device.trouble.empty() ? device.name : device.trouble,
                    device.libraries.empty() ? "" : ", ", device.libraries, "\n");
  }
  if (!e.visible_devices.empty())
    absl::StrAppend(&out, "            CUDA_VISIBLE_DEVICES=", QuotedValue(e.visible_devices), "\n");
  for (const Transport& transport : e.transports) {
    absl::StrAppend(&out, "transport   ", transport.name, ": ", transport.reaches, "\n");
  }
  return out;
}

std::string ExaminationJson(const Examination& e, absl::string_view version) {
  Json out = {{"version", std::string(version)}};
  out["launch"] = LaunchJson(e);
  out["cores"] = {{"allowed", e.cores.cores}, {"affinity", e.cores.affinity}, {"online", e.online}};
  out["cores"]["quota"] = e.cores.quota > 0 ? Json(e.cores.quota) : Json();
  out["cores"]["quota_from"] = e.cores.quota_from;
  out["devices"] = Json::array();
  for (const FoundDevice& device : e.devices) {
    out["devices"].push_back({{"kind", device.kind},
                              {"name", device.name},
                              {"libraries", device.libraries},
                              {"usable", device.trouble.empty()},
                              {"trouble", device.trouble}});
  }
  out["transports"] = Json::array();
  for (const Transport& transport : e.transports) {
    out["transports"].push_back({{"name", transport.name}, {"reaches", transport.reaches}});
  }
  return absl::StrCat(out.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace), "\n");
}

}  // namespace millrace
