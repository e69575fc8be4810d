// Threads that wait for work: starting them anew for every product would take longer than many products do.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <sched.h>
#include <unistd.h>

namespace gosset {

class Pool {
  public:
    // Calls task(0) ... task(count - 1) on up to `threads` threads, the calling one among them. Each has a share of tasks
    // that follow each other, so that what one fetches ahead is its own, and helps the others when it is done.
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

    struct alignas(64) Share {
        std::atomic<int64_t> next{0};
        int64_t last = 0;
    };

    void work(int threads, int64_t count, const std::function<void(int64_t)>& task) {
        while (static_cast<int>(workers_.size()) < threads - 1) {
            int number = static_cast<int>(workers_.size()) + 1;
            workers_.emplace_back([this, number, seen = generation_.load()] { wait(number, seen); });
        }
        spread();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            task_ = &task;
            while (static_cast<int>(shares_.size()) < threads) shares_.emplace_back();
            for (int n = 0; n < threads; n++) {
                shares_[n].next = count * n / threads;
                shares_[n].last = count * (n + 1) / threads;
            }
            threads_ = threads;
            wanted_ = threads - 1;
            generation_++;
        }
        wake_.notify_all();
        take(0);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            wanted_ = 0;  // who has not woken by now is not waited for
        }
        for (int spin = 0; busy_; spin++)
            if (spin > SPINS) std::this_thread::yield();
    }

    void take(int number) {
        for (int n = 0; n < threads_; n++) {
            Share& share = shares_[(number + n) % threads_];
            for (int64_t i; (i = share.next++) < share.last;) (*task_)(i);
        }
    }

    void wait(int number, int64_t seen) {
        for (;;) {
            for (int spin = 0; generation_ == seen && spin < SPINS; spin++) pause();
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return generation_ != seen; });
                seen = generation_;
                if (number > wanted_) continue;
                busy_++;
            }
            take(number);
            busy_--;
        }
    }

    // Gives each worker a processor other than the caller's: a system may wake it on the caller's, where it waits for
    // the caller to be done. Not where there are more threads than processors.
    void spread() {
#if defined(__linux__)
        const int here = sched_getcpu();
        if (here == caller_ && spread_ == workers_.size()) return;
        caller_ = here;
        spread_ = workers_.size();
        cpu_set_t allowed;
        if (sched_getaffinity(0, sizeof allowed, &allowed) || CPU_COUNT(&allowed) <= static_cast<int>(spread_)) return;
        int processor = here;
        for (auto& worker : workers_) {
            do processor = (processor + 1) % CPU_SETSIZE;
            while (!CPU_ISSET(processor, &allowed));
            cpu_set_t own;
            CPU_ZERO(&own);
            CPU_SET(processor, &own);
            pthread_setaffinity_np(worker.native_handle(), sizeof own, &own);
        }
#endif
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
    std::deque<Share> shares_;  // of the threads that are asked for
    std::atomic<int64_t> generation_{0};
    std::atomic<int> busy_{0};
    const std::function<void(int64_t)>* task_ = nullptr;
    int threads_ = 0, wanted_ = 0, caller_ = -1;
    size_t spread_ = 0;
};

}  // namespace gosset
