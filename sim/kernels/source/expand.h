// From bit planes to bytes and words.
#pragma once

#include "decoder.h"

namespace gosset {

#if GOSSET_AVX512

// Eight planes to eight vectors of bytes: bit k of a byte is its bit of plane k. GF2P8AFFINE turns the 8 × 8 bits of
// eight bytes, one of each plane, which unpacking brings together, the last plane in front.
struct Quarters { V q[4]; };  // dwords: a byte of each of four planes

inline INLINE Quarters four(V a, V b, V c, V d) {
    V ab0 = _mm512_unpacklo_epi8(b, a), ab1 = _mm512_unpackhi_epi8(b, a);
    V cd0 = _mm512_unpacklo_epi8(d, c), cd1 = _mm512_unpackhi_epi8(d, c);
    return {{_mm512_unpacklo_epi16(cd0, ab0), _mm512_unpackhi_epi16(cd0, ab0), _mm512_unpacklo_epi16(cd1, ab1),
             _mm512_unpackhi_epi16(cd1, ab1)}};
}

// Four planes, of which `rest` has all but the last.
inline INLINE Quarters with_last(const Quarters& rest, V d) {
    const V lanes = _mm512_set_epi32(51, 50, 49, 48, 35, 34, 33, 32, 19, 18, 17, 16, 3, 2, 1, 0);
    Quarters result;
    each<4>([&](auto k) INLINE {
        const V index = _mm512_add_epi32(lanes, _mm512_set1_epi32(4 * k));
        result.q[k] = _mm512_mask_permutexvar_epi8(rest.q[k], 0x1111111111111111, index, d);
    });
    return result;
}

inline INLINE void turn(const Quarters& low, const Quarters& high, V* bytes) {
    const V unit = _mm512_set1_epi64(static_cast<long long>(0x8040201008040201));
    each<4>([&](auto k) INLINE {
        bytes[2 * k] = _mm512_gf2p8affine_epi64_epi8(unit, _mm512_unpacklo_epi32(high.q[k], low.q[k]), 0);
        bytes[2 * k + 1] = _mm512_gf2p8affine_epi64_epi8(unit, _mm512_unpackhi_epi32(high.q[k], low.q[k]), 0);
    });
}

#else

// Exchanges the bits of a that `mask` shifted up by `by` names with those of b that `mask` names.
inline INLINE void exchange(V& a, V& b, int by, uint64_t mask) {
    V t = ((a >> by) ^ b) & (V{} + mask);
    b ^= t;
    a ^= t << by;
}

// Eight planes to eight vectors of bytes, in place: bit k of byte c of vector j is bit j of byte c of plane k.
inline INLINE void turn(V* p) {
    each<4>([&](auto k) INLINE { exchange(p[k], p[k + 4], 4, 0x0f0f0f0f0f0f0f0f); });
    each<4>([&](auto k) INLINE { exchange(p[k / 2 * 4 + k % 2], p[k / 2 * 4 + k % 2 + 2], 2, 0x3333333333333333); });
    each<4>([&](auto k) INLINE { exchange(p[2 * k], p[2 * k + 1], 1, 0x5555555555555555); });
}

#endif

// Planes of a group, and what the decoder computed from them.
template <int M>
struct Group {
    const uint8_t* planes;
    alignas(64) uint8_t computed[COMPUTED * PLANE];

    // Calls `fetch` between the operations of the decoder.
    template <class F>
    INLINE Group(const uint8_t* from, const F& fetch) : planes(from) {
        for (int part = 0; part < PARTS; part++)
            decode(Rate<M>(), planes + part * sizeof(V), computed + part * sizeof(V), fetch);
    }

    explicit Group(const uint8_t* from) : Group(from, [](auto) {}) {}

    // Plane k of y's coordinate i.
    INLINE V plane(int k, int i, int part) const {
        int n = plane_of(M, k, i);
        return load((n < 0 ? computed + ~n * PLANE : planes + n * PLANE) + part * sizeof(V));
    }

    V beta(int k, int part) const { return load(planes + (DIM * M + k) * PLANE + part * sizeof(V)); }
};

// y of coordinate i as signed bytes: eight vectors.
template <int M>
inline INLINE void points(const Group<M>& group, int i, int part, V* bytes) {
    V p[8];
    each<8>([&](auto k) INLINE { p[k] = group.plane(k < M ? k : M, i, part); });
#if GOSSET_AVX512
    turn(four(p[0], p[1], p[2], p[3]), four(p[4], p[5], p[6], p[7]), bytes);
#else
    turn(p);
    each<8>([&](auto j) INLINE { bytes[j] = p[j]; });
#endif
}

// β's index of all blocks as bytes: eight vectors.
template <int M>
inline void indices(const Group<M>& group, int bits, int part, V* bytes) {
    V p[8] = {};
    for (int k = 0; k < bits; k++) p[k] = group.beta(k, part);
#if GOSSET_AVX512
    turn(four(p[0], p[1], p[2], p[3]), four(p[4], p[5], p[6], p[7]), bytes);
#else
    turn(p);
    each<8>([&](auto j) INLINE { bytes[j] = p[j]; });
#endif
}

}  // namespace gosset
