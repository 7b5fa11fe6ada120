/* Meters: token buckets, as sim/meters.py has them.
 *
 * A bucket is counted in thousandths of packets or in bits, so that a millisecond fills it by the band's rate.  Of the
 * bands that a packet exceeds the one with the highest rate drops it. */
#pragma once
#include "maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct meter);
	__uint(max_entries, MAX_METERS);
} meters SEC(".maps");

/* Whether a packet of so many bytes may pass; it is counted.  A global function: its spin lock is checked by itself. */
GLOBAL int admit(u32 number, u32 size)
{
	struct meter *m = bpf_map_lookup_elem(&meters, &number);
	if (!m || !m->there)
		return 1;
	u64 now = bpf_ktime_get_ns() / 1000000, passed = 0, exceeded_rate = 0, volume;
	u32 exceeded = METER_BANDS;
	bpf_spin_lock(&m->lock);
	if (now > m->used) {
		passed = now - m->used;
		m->used = now;
	}
	m->packets++;
	m->bytes += size;
	volume = m->by_packets ? 1000 : (u64)size * 8;
#pragma unroll
	for (u32 i = 0; i < METER_BANDS; i++) {
		if (i < m->bands) {
			u64 filling = m->filling[i] + passed * m->rate[i];
			if (filling > m->size[i])
				filling = m->size[i];
			if (filling >= volume) {
				filling -= volume;
			} else if (exceeded == METER_BANDS || m->rate[i] > exceeded_rate) {
				exceeded = i;
				exceeded_rate = m->rate[i];
			}
			m->filling[i] = filling;
		}
	}
#pragma unroll
	for (u32 i = 0; i < METER_BANDS; i++) {
		if (exceeded == i) {
			m->band_packets[i]++;
			m->band_bytes[i] += size;
		}
	}
	bpf_spin_unlock(&m->lock);
	return exceeded == METER_BANDS;
}
