#include "tools/report/page.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/report/escape.h"

namespace millrace {
namespace {

constexpr absl::string_view kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="millrace">
)";

constexpr absl::string_view kStyle = R"(<style>
:root{color-scheme:light dark;--paper:#fff;--ink:#1d2329;--soft:#5c6670;--line:#dde2e7;--card:#f5f7f9;
--accent:#2b5c94;
--f:#3a6ea5;--b:#4f9a6b;--w:#dba63a;--r:#9a6cbb;--load:#87929d;--coll:#c0566a;--opt:#5f7183;--cell:#fff;
--fill:#e8ecf0;--data:#cdd5dd;--link:#e79c94;--slot:#e6c48d;--peer:#d6b1d9;--core:#a9bfd8;--done:#eff2f5;
--m0:#3a6ea5;--m1:#4f9a6b;--m2:#9a6cbb;--m3:#dba63a;--m4:#c0566a;--m5:#87929d}
@media (prefers-color-scheme:dark){:root{--paper:#15191d;--ink:#e3e8ec;--soft:#9aa5af;--line:#323a42;--card:#1d2329;
--accent:#8db8e6;--f:#5b92cc;--b:#62b183;--w:#e0b458;--r:#b389d2;--load:#7f8b96;--coll:#d6788a;--opt:#8093a6;
--cell:#0f1316;
--fill:#262d34;--data:#3b454f;--link:#8f4b47;--slot:#80643a;--peer:#6c4a70;--core:#415c7a;--done:#20262c;
--m0:#5b92cc;--m1:#62b183;--m2:#b389d2;--m3:#e0b458;--m4:#d6788a;--m5:#7f8b96}}
*{box-sizing:border-box}
body{margin:0 auto;padding:28px 24px 48px;max-width:1180px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
td.l:last-child{min-width:26ch}
h1{font-size:24px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:17px;margin:34px 0 8px;padding-top:14px;border-top:1px solid var(--line)}
p{margin:6px 0;max-width:80ch}.soft{color:var(--soft)}.small{font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:16px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}
.card b{display:block;font-size:21px;line-height:1.3;font-variant-numeric:tabular-nums}.card span{color:var(--soft);
font-size:13px}
.scroll{overflow-x:auto;margin:10px 0}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;min-width:50%}
caption{text-align:left;color:var(--soft);padding:0 0 4px}
th,td{padding:3px 14px 3px 0;text-align:right;vertical-align:top;border-bottom:1px solid var(--line);
white-space:nowrap}
th{font-weight:600;color:var(--soft);border-bottom-width:2px}
th.l,td.l{text-align:left;max-width:60ch;min-width:9ch;overflow-wrap:break-word;white-space:normal}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:8px 32px}
.pair table{width:100%}
.rows{display:grid;grid-template-columns:max-content 1fr max-content;gap:3px 12px;align-items:center;margin:10px 0;
font-size:13.5px;
font-variant-numeric:tabular-nums}.rows .n{text-align:right}.rows .gap{grid-column:1/-1;height:5px}
.bar{display:flex;height:18px;border-radius:3px;overflow:hidden;min-width:1px}.bar.thin{height:8px;opacity:.75}
.bar i{display:block;height:100%}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:8px 0;font-size:13px;color:var(--soft)}
.legend span{display:inline-flex;align-items:center;gap:6px}.legend i{width:12px;height:12px;border-radius:2px;
flex:none}
.f{background:var(--f);fill:var(--f)}.b,.bw{background:var(--b);fill:var(--b)}.w{background:var(--w);fill:var(--w)}
.r{background:var(--r);fill:var(--r)}.load{background:var(--load);fill:var(--load)}.coll{background:var(--coll);
fill:var(--coll)}
.opt{background:var(--opt);fill:var(--opt)}.fill{background:var(--fill);fill:var(--fill)}
.data{background:var(--data);fill:var(--data)}
.link{background:var(--link);fill:var(--link)}.slot{background:var(--slot);fill:var(--slot)}
.peer{background:var(--peer);fill:var(--peer)}
.core{background:var(--core);fill:var(--core)}.done{background:var(--done);fill:var(--done)}
.m0{background:var(--m0)}.m1{background:var(--m1)}.m2{background:var(--m2)}.m3{background:var(--m3)}
.m4{background:var(--m4)}.m5{background:var(--m5)}
svg{display:block;min-width:860px;width:100%;height:auto}svg text{fill:var(--ink);font-size:11px}
svg .soft{fill:var(--soft)}
svg text.c{fill:var(--cell);text-anchor:middle;font-size:10px}svg .axis{stroke:var(--line);fill:none}
svg .e{stroke:var(--paper);stroke-width:.6}
pre{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--accent);border-radius:6px;
padding:12px 14px;
margin:10px 0;white-space:pre-wrap;overflow-wrap:anywhere;
font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
user-select:all}
details{margin:8px 0}summary{cursor:pointer;color:var(--accent);font-size:13.5px}
.key{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--accent);border-radius:6px;
padding:10px 14px;margin:14px 0}
footer{margin-top:40px;color:var(--soft);font-size:12.5px;border-top:1px solid var(--line);padding-top:10px;
overflow-wrap:anywhere}
@media (max-width:640px){body{padding:18px 14px 36px}h1{font-size:20px}.card b{font-size:18px}
.cards{grid-template-columns:repeat(2,1fr)}}
@media print{:root{color-scheme:light}body{max-width:none;padding:0;font-size:11pt}*{print-color-adjust:exact;
-webkit-print-color-adjust:exact}h2{break-after:avoid}figure,.rows,tr,pre{break-inside:avoid}
.scroll{overflow:visible}svg{min-width:0}
details>summary{display:none}}
</style>
)";

}  // namespace

std::string Page(absl::string_view title, absl::string_view body) {
  return absl::StrCat(kHead, "<title>", HtmlText(title), "</title>\n", kStyle, "</head>\n<body>\n", body,
                      "</body>\n</html>\n");
}

std::string HtmlTable::Print() const {
  const auto cell = [this](const char* tag, const char* scope, size_t column, const std::string& text) {
    const bool is_left = static_cast<int>(column) < left || (last_left && column + 1 == head.size());
    return absl::StrCat("<", tag, scope, is_left ? " class=\"l\">" : ">", text.empty() ? "" : "<bdi>", HtmlText(text),
                        text.empty() ? "" : "</bdi>", "</", tag, ">");
  };
  std::string out = "<div class=\"scroll\"><table>";
  if (!caption.empty()) absl::StrAppend(&out, "<caption>", HtmlText(caption, 400), "</caption>");
  absl::StrAppend(&out, "<thead><tr>");
  for (size_t c = 0; c < head.size(); ++c) absl::StrAppend(&out, cell("th", " scope=\"col\"", c, head[c]));
  absl::StrAppend(&out, "</tr></thead>\n<tbody>\n");
  for (const std::vector<std::string>& row : rows) {
    absl::StrAppend(&out, "<tr>");
    for (size_t c = 0; c < head.size(); ++c) absl::StrAppend(&out, cell("td", "", c, c < row.size() ? row[c] : ""));
    absl::StrAppend(&out, "</tr>\n");
  }
  return absl::StrCat(out, "</tbody></table></div>\n");
}

std::string Bar(absl::string_view style, const std::vector<BarPart>& parts, double whole, absl::string_view label) {
  double sum = 0;
  for (const BarPart& part : parts) sum += std::max(0.0, part.size);
  const double width = whole > 0 ? std::clamp(100 * sum / whole, 0.0, 100.0) : 0;
  std::string out = absl::StrFormat("<div class=\"bar %s\" style=\"width:%.2f%%\" role=\"img\" aria-label=\"%s\">",
                                    style, width, HtmlText(label, 400));
  for (const BarPart& part : parts) {
    if (!(part.size > 0) || sum <= 0) continue;
    if (part.size < 1e-4 * whole) continue;  // narrower than a tenth of a pixel
    absl::StrAppendFormat(&out, "<i class=\"%s\" style=\"width:%.3f%%\" title=\"%s\"></i>", part.style,
                          100 * part.size / sum, HtmlText(part.text));
  }
  return out + "</div>";
}

std::string Legend(const std::vector<BarPart>& parts) {
  std::string out = "<div class=\"legend\">";
  for (const BarPart& part : parts) {
    absl::StrAppend(&out, "<span><i class=\"", part.style, "\"></i>", HtmlText(part.text), "</span>");
  }
  return out + "</div>\n";
}

}  // namespace millrace
