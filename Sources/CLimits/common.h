#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t clock_now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline void sleep_microseconds(unsigned microseconds) {
    struct timespec time = {microseconds / 1000000, (long)(microseconds % 1000000) * 1000};
    if (microseconds) nanosleep(&time, NULL);
}

static inline int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// The value below which the share `part` of all values lies. Sorts them.
static inline double quantile(double *values, size_t count, double part) {
    if (count == 0) return 0;
    qsort(values, count, sizeof *values, compare_doubles);
    size_t index = (size_t)((double)count * part);
    return values[index < count ? index : count - 1];
}

static inline uint16_t load16(const uint8_t *octets) { return (uint16_t)(octets[0] << 8 | octets[1]); }

static inline void store16(uint8_t *octets, unsigned value) {
    octets[0] = (uint8_t)(value >> 8);
    octets[1] = (uint8_t)value;
}

static inline void store32(uint8_t *octets, uint32_t value) {
    store16(octets, value >> 16);
    store16(octets + 2, value);
}

// Messages of the bootstrap protocol.
enum { INIT = 510, POPULATE = 511, HEAD = 8, ENTRY = 20, MOST_ENTRIES = 69 };
