#include "runtime/comm/records.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

struct Parcel : RecordBase {
  int weight = 0;
};

TEST(Records, TicketsOfRetiredRecordsNameNothing) {
  Records<Parcel> records;
  EXPECT_EQ(records.Find(0), nullptr);
  const uint32_t first = records.Take();
  records[first].weight = 7;
  const auto ticket = records.TicketOf(first);
  ASSERT_NE(records.Find(ticket), nullptr);
  EXPECT_EQ(records.Find(ticket)->weight, 7);
  records.Retire(first);
  EXPECT_TRUE(records.Issued(ticket));
  EXPECT_EQ(records.Find(ticket), nullptr);
  // The record is used again, under another ticket.
  EXPECT_EQ(records.Take(), first);
  EXPECT_EQ(records.Find(ticket), nullptr);
  EXPECT_NE(records.TicketOf(first), ticket);
  EXPECT_NE(records.Find(records.TicketOf(first)), nullptr);
}

TEST(Records, AddressesStay) {
  Records<Parcel> records;
  Parcel* const first = &records[records.Take()];
  for (int i = 0; i < 1000; ++i) records.Take();
  EXPECT_EQ(&records[0], first);
  EXPECT_EQ(records.size(), 1001u);
  EXPECT_FALSE(records.Issued(5000));
}

}  // namespace
}  // namespace millrace
