// Bit planes, and the vectors that they are worked on in. This file decides what a library is compiled for.
//
// A group is 16 rows by 32 blocks of a packed matrix: 512 blocks, so that one bit of each makes a plane of 64 bytes. Of
// the label and the index of β of its blocks a group holds one plane per bit, in their order. Expanding planes gives
// eight vectors of 64 bytes for each coordinate: byte c of vector j belongs to row c / 4 and block 4j + c % 4. Which
// bit of a plane that is differs with the instructions at hand (`place`).
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__GFNI__)
#define GOSSET_AVX512 1
#include <immintrin.h>
#if defined(__AMX_INT8__)
#define GOSSET_AMX 1
#endif
#elif defined(__AVX2__)
#define GOSSET_AVX2 1
#include <immintrin.h>
#endif

#define INLINE __attribute__((always_inline))

namespace gosset {

constexpr int DIM = 8, ROWS = 16, BLOCKS = 32, COLUMNS = BLOCKS * DIM, PLANE = 64;
constexpr int COMPUTED = 12;  // planes that the decoder computes: four of plane 0, eight of signs

#if GOSSET_AVX512
typedef __m512i V;
#elif GOSSET_AVX2
typedef unsigned long long V __attribute__((vector_size(32)));
#else
typedef uint64_t V;
#endif
constexpr int PARTS = PLANE / sizeof(V);  // vectors per plane

// The bit of a plane that belongs to byte c of vector j.
constexpr int place(int j, int c) {
#if GOSSET_AVX512
    return c / 16 * 128 + j * 16 + c % 16;  // unpacking works within 16 bytes
#else
    return c * 8 + j;
#endif
}

inline V load(const uint8_t* from) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(uint8_t* to, V value) { std::memcpy(to, &value, sizeof value); }

#if GOSSET_AVX512
// 16 bytes, in each of the four lanes.
inline V in_lanes(const void* bytes) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(bytes)));
}
#endif

// Position of plane k of coordinate i of y among a group's planes; negative: ~n is plane n of those computed.
constexpr int plane_of(int m, int k, int i) {
    constexpr int information[DIM] = {0, 1, 2, ~0, 3, ~1, ~2, ~3};
    return k == m ? ~(4 + i) : k ? DIM * k - 4 + i : information[i];
}

// Calls f(0) ... f(N - 1), each with a constant of its own: compilers keep arrays in registers only if they see constant
// indices early.
template <class F, int... K>
inline __attribute__((always_inline)) void each(const F& f, std::integer_sequence<int, K...>) {
    (f(std::integral_constant<int, K>()), ...);
}

template <int N, class F>
inline __attribute__((always_inline)) void each(const F& f) {
    each(f, std::make_integer_sequence<int, N>());
}

}  // namespace gosset
