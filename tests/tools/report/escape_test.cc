// Names come from files: whatever is in them must stay text.
#include "tools/report/escape.h"

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/report/page.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HtmlText, KeepsTextAndNothingElse) {
  EXPECT_EQ(HtmlText("h.0.mlp.c_fc"), "h.0.mlp.c_fc");
  EXPECT_EQ(HtmlText("<script>alert('1')</script> & \"x\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;");
  EXPECT_EQ(HtmlText("Grüße, 模型"), "Grüße, 模型");
}

TEST(HtmlText, ReplacesWhatIsNotToBeShown) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(HtmlText(std::string("a\0b\nc", 5)), "a" + bad + "b" + bad + "c");
  EXPECT_EQ(HtmlText("\xE2\x80\xAE"
                     "evil"),
            bad + "evil")
      << "right-to-left override";
  EXPECT_EQ(HtmlText("\xE2\x81\xA6x\xE2\x81\xA9"), bad + "x" + bad) << "isolates";
  EXPECT_EQ(HtmlText("\xC0\xBC"), bad + bad) << "an overlong '<'";
  EXPECT_EQ(HtmlText("\xED\xA0\x80"), bad + bad + bad) << "a surrogate";
  EXPECT_EQ(HtmlText("\xF0\x9F\x98"), bad + bad + bad) << "cut short";
  EXPECT_EQ(HtmlText("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

TEST(HtmlText, CutsWhatIsLongAtACharacter) {
  EXPECT_EQ(HtmlText(std::string(500, 'x'), 10), std::string(10, 'x') + "...");
  EXPECT_EQ(HtmlText("ab\xC3\xBC", 3), "ab...");
}

TEST(TerminalText, HasNoEscapes) {
  EXPECT_EQ(TerminalText("\x1b[31mred\r\n\x07"), "?[31mred???");
  EXPECT_EQ(TerminalText("a <b>"), "a <b>");
}

TEST(CsvField, FollowsRfc4180) {
  EXPECT_EQ(CsvField("plain"), "plain");
  EXPECT_EQ(CsvField("a,b"), "\"a,b\"");
  EXPECT_EQ(CsvField("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(CsvField("two\nlines"), "\"two\nlines\"");
  EXPECT_EQ(CsvField("=1+1"), "'=1+1");
  EXPECT_EQ(CsvField("-1.5"), "-1.5");
}

TEST(ShellQuoted, IsOneWord) {
  EXPECT_EQ(ShellQuoted("--cut-after=h.1.mlp,h.2"), "--cut-after=h.1.mlp,h.2");
  EXPECT_EQ(ShellQuoted("a b"), "'a b'");
  EXPECT_EQ(ShellQuoted("it's; rm -rf $HOME"), "'it'\\''s; rm -rf $HOME'");
  EXPECT_EQ(ShellQuoted(""), "''");
  EXPECT_EQ(ShellQuoted("~x"), "'~x'");
}

TEST(Page, EscapesItsTables) {
  HtmlTable table;
  table.caption = "<b>";
  table.head = {"<i>"};
  table.rows = {{"</td><script>"}};
  const std::string page =
      Page("</title><script>", table.Print() + Bar("", {{"f", "\"><script>", 1}}, 1, "\"><script>"));
  EXPECT_THAT(page, Not(HasSubstr("<script>")));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(Units, AreShort) {
  EXPECT_EQ(Ms(0.1234), "123.4");
  EXPECT_EQ(Ms(0.0012345), "1.23");
  EXPECT_EQ(Ms(0), "-");
  EXPECT_EQ(Ms(2.5), "2500");
  EXPECT_EQ(Both(0.001, 0.002), "1.00 (2.00)");
  EXPECT_EQ(Both(0, 0), "-");
  EXPECT_EQ(PerCentOver(1.1, 1), "+10.0 %");
  EXPECT_EQ(PerCentOver(3, 1), "3.0 times");
  EXPECT_EQ(PerCentOver(3, 0), "-");
  EXPECT_EQ(BytesText(1500), "1.5 kB");
}

}  // namespace
}  // namespace millrace
