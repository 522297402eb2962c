// What LeakSanitizer is to forgive of libgloo; read by its runtime where there is one, called by nobody otherwise.
//
// CreateDeviceAttr lists the machine's interfaces, and throws, for an interface that is not there, without giving the
// list back: 2 KiB, once, in a process that then ends.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:gloo::transport::tcp::CreateDeviceAttr\n"; }
