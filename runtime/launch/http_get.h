// One bounded question to a plain HTTP server on this machine or its link: what a cloud's metadata server needs, and no
// more. No redirects, no proxies, no encryption; a whole web client would bring two dozen libraries to every start.
#ifndef RUNTIME_LAUNCH_HTTP_GET_H_
#define RUNTIME_LAUNCH_HTTP_GET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace millrace {

// The body of an answer with status 200. `url` is "http://host[:port]/path"; `header` one line of the request without
// its end. NOT_FOUND for status 404; UNAVAILABLE when nobody answers within `timeout` or the answer is cut short;
// INVALID_ARGUMENT for an answer that is no HTTP or longer than 64 KiB.
absl::StatusOr<std::string> HttpGet(absl::string_view url, absl::string_view header, absl::Duration timeout);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_HTTP_GET_H_
