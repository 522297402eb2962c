// Debian 12's libgloo-dev installs gloo/transport/tcp/{context,pair,unbound_buffer}.h but not this header, which they
// include. Declares the same three templates, with the same layout: one standard smart pointer each.
#ifndef GLOO_COMMON_MEMORY_H_
#define GLOO_COMMON_MEMORY_H_

#include <memory>
#include <thread>

namespace gloo {

template <typename T>
class ShareableNonOwningPtr;
template <typename T>
class WeakNonOwningPtr;

// Keeps the object from being destroyed while somebody uses it.
template <typename T>
class NonOwningPtr final {
 public:
  NonOwningPtr() {}
  explicit NonOwningPtr(const WeakNonOwningPtr<T>& weak) : ptr_(weak.ptr_.lock()) {}

  T* operator->() const noexcept { return ptr_.get(); }
  explicit operator bool() const noexcept { return ptr_ != nullptr; }

 private:
  std::shared_ptr<T> ptr_;
};

// Remembers an object that may be gone. True when it has ever been given one.
template <typename T>
class WeakNonOwningPtr final {
 public:
  WeakNonOwningPtr() {}
  explicit WeakNonOwningPtr(const ShareableNonOwningPtr<T>& root) : ptr_(root.ptr_) {}

  explicit operator bool() const noexcept {
    const std::weak_ptr<T> never;
    return never.owner_before(ptr_) || ptr_.owner_before(never);
  }

 private:
  friend class NonOwningPtr<T>;
  std::weak_ptr<T> ptr_;
};

// Part of the object itself. Its destructor waits until nobody uses the object any more.
template <typename T>
class ShareableNonOwningPtr final {
 public:
  explicit ShareableNonOwningPtr(T* object) : ptr_(object, [](T*) {}) {}
  ShareableNonOwningPtr(const ShareableNonOwningPtr&) = delete;
  ShareableNonOwningPtr& operator=(const ShareableNonOwningPtr&) = delete;
  ~ShareableNonOwningPtr() {
    const std::weak_ptr<T> users = ptr_;
    ptr_.reset();
    while (!users.expired()) std::this_thread::yield();
  }

 private:
  friend class WeakNonOwningPtr<T>;
  std::shared_ptr<T> ptr_;
};

}  // namespace gloo

#endif  // GLOO_COMMON_MEMORY_H_
