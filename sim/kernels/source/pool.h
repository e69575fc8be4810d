// Threads that wait for work: starting them anew for every product would take longer than many products do.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <unistd.h>

namespace gosset {

class Pool {
  public:
    // Calls task(0) ... task(count - 1) on up to `threads` threads, the calling one among them.
    static void run(int threads, int64_t count, const std::function<void(int64_t)>& task) {
        if (threads <= 1 || count <= 1) {
            for (int64_t i = 0; i < count; i++) task(i);
            return;
        }
        static std::mutex one_at_a_time;
        std::lock_guard<std::mutex> guard(one_at_a_time);
        static Pool* pool = nullptr;
        if (!pool || pool->process_ != getpid()) pool = new Pool;  // threads do not follow into a forked process
        pool->work(threads, count, task);
    }

  private:
    static constexpr int SPINS = 4000;  // some ten microseconds: products often follow each other at once

    void work(int threads, int64_t count, const std::function<void(int64_t)>& task) {
        while (static_cast<int>(workers_.size()) < threads - 1) {
            int number = static_cast<int>(workers_.size()) + 1;
            workers_.emplace_back([this, number, seen = generation_.load()] { wait(number, seen); });
            workers_.back().detach();
        }
        task_ = &task;
        count_ = count;
        next_ = 0;
        threads_ = threads;
        busy_ = static_cast<int>(workers_.size());
        {
            std::lock_guard<std::mutex> lock(mutex_);
            generation_++;
        }
        wake_.notify_all();
        take();
        for (int spin = 0; busy_; spin++)
            if (spin > SPINS) std::this_thread::yield();
    }

    void take() {
        for (int64_t i; (i = next_++) < count_;) (*task_)(i);
    }

    void wait(int number, int64_t seen) {
        for (;;) {
            for (int spin = 0; generation_ == seen && spin < SPINS; spin++) pause();
            if (generation_ == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return generation_ != seen; });
            }
            seen = generation_;
            if (number < threads_) take();
            busy_--;
        }
    }

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    const pid_t process_ = getpid();
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<int64_t> generation_{0}, next_{0};
    std::atomic<int> busy_{0};
    const std::function<void(int64_t)>* task_ = nullptr;
    int64_t count_ = 0;
    int threads_ = 0;
};

}  // namespace gosset
