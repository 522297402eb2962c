// DualPipeV (DeepSeek 2025, github.com/deepseek-ai/DualPipe; the "cut in half" form of DeepSeek-V3's DualPipe): two
// chunks in a V, rank r holds stages r and 2p - 1 - r. In the steady state each forward stands beside the backward of
// another micro-batch on the other chunk, so that the one's communication hides behind the other's computation.
//
//   p = 2, m = 4, equal times:
//   rank 0 |F0-F1-F2-F0'b0'w0'F1'F3-B1'===F2'B0====B2'===F3'...B1====B3'===b2=w2~b3=w3~|  96 %
//   rank 1 |...F0-F0'F1-F1'F2-B0'===F2'B0====F3-B1'===F3'B1====B2'===B2====b3'b3=w3'w3~|  96 %
//   F0- forward   B0= whole backward   b0= input gradient   w0~ weight gradient   ' later chunk
//
// Eight steps of each rank, as in the authors' program: nF0; nF0F1; nB1W1F1; the main step nF0B1F1B0; nB1F1B0; nB1B0,
// its second half with W delayed; nWB0; nW. They need m >= 2p.
//
// The bubble here, with times of one chunk and L = min(TB, TW), for any m >= 2p, is the largest of
//
//   (p-1)(TF + TB - L)      mostly
//   (p-1)(2 TF - TW - L)    when TF > TB + TW
//   (p-1)(2 TB - L) - TF    when TB > TF, from some p on
//
// The authors publish (p-1)(FB + BF - 3 TW), with BF = TB + TW and FB the time of a forward and a backward run together
// as one block. A block begins when the inputs of both are there, and hands both results on at its end. Blocks of which
// nothing overlaps (FB = TF + TB + TW) have exactly that bubble, (p-1)(TF + 2 TB - TW), where TF <= TB. Here the two
// are actions of their own, and each result goes on as soon as it is made, which takes (p-1) TB off. Blocks that
// overlap take less time, which a schedule of single actions does not model: it is the safe side. Every rank holds
// 2p + 1 chunks' micro-batches, the published number of stages and one.
#ifndef PARTITIONER_SCHEDULE_DUALPIPEV_H_
#define PARTITIONER_SCHEDULE_DUALPIPEV_H_

#include "runtime/plan/action.h"

namespace millrace {

// REQUIRES: ranks >= 1, micro_batches >= 2 * ranks (or 1 rank and 1 micro-batch).
Schedule DualPipeV(int ranks, int micro_batches);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_DUALPIPEV_H_
