/* TCP connections: the state machine of conntrack/tcp.py, segment by segment, in C.  That page explains it; here names are
 * the same, and so is the order of things.  All of it runs under the connection's lock, where no helper may be called. */
#pragma once
#include "maps.h"

enum { VALID, FRESH, BEGINS_ANEW, INVALID };

#define STAYS 0xff /* the timeout of a segment that leaves it as it is */

struct segment {
	u32 sequence, acknowledgement, window, length;
	u8 flags, scale;
};

INLINE int impossible(u8 flags)
{
	if (flags & TCP_SYN ? flags & (TCP_RST | TCP_FIN) : !(flags & (TCP_ACK | TCP_RST)))
		return 1;
	return !(flags & TCP_ACK) && flags & (TCP_FIN | TCP_PSH | TCP_URG);
}

/* a >= b in sequence numbers, which wrap */
INLINE int not_before(u32 a, u32 b)
{
	return !((a - b) & 0x80000000);
}

INLINE u32 at_least(u32 value, u32 least)
{
	return value < least ? least : value;
}

INLINE u32 rounded_up(u32 window, u32 scale)
{
	return (window + (1 << scale) - 1) >> scale;
}

struct scales {
	u32 source, target;
};

INLINE void slide(struct side *source, struct side *target, u32 ends, u32 acknowledged, u32 window, u32 scale)
{
	source->max_window = at_least(source->max_window, window);
	if (ends != source->low && not_before(ends, source->low))
		source->low = ends;
	if (not_before(acknowledged + (window << scale), target->high))
		target->high = acknowledged + at_least(window << scale, 1);
}

/* The states after a segment that fits; the timeout. */
INLINE u8 advance(struct side *source, struct side *target, u8 flags)
{
	if (flags & TCP_SYN && source->state < SYN_SENT)
		source->state = SYN_SENT;
	if (flags & TCP_FIN && source->state < CLOSING)
		source->state = CLOSING;
	if (flags & TCP_ACK) {
		if (target->state == SYN_SENT)
			target->state = ESTABLISHED;
		else if (target->state == CLOSING)
			target->state = FIN_WAIT_2;
	}
	if (flags & TCP_RST)
		source->state = target->state = TIME_WAIT;
	u8 least = source->state, most = target->state;
	if (least > most) {
		least = target->state;
		most = source->state;
	}
	if (least >= FIN_WAIT_2)
		return TIMEOUT_TCP_CLOSE;
	if (least >= CLOSING)
		return TIMEOUT_TCP_TIME_WAIT;
	if (least < ESTABLISHED)
		return TIMEOUT_TCP_SYN_RECV;
	return most >= CLOSING ? TIMEOUT_TCP_FIN_WAIT : TIMEOUT_TCP_ESTABLISHED;
}

/* The first segment from this end; 1: `high` has moved. */
INLINE int first_of_side(struct side *source, struct side *target, const struct segment *g, u32 ends, u32 *window,
			 struct scales *by)
{
	if (g->flags & TCP_SYN && target->scale & SCALE_KNOWN) {
		source->scale = g->scale;
		if (source->scale & SCALE_KNOWN) {
			by->source = source->scale & SCALE;
			by->target = target->scale & SCALE;
			*window = rounded_up(*window, by->source);
		} else {
			target->max_window = target->max_window << (target->scale & SCALE) & 0xffff;
			target->scale = 0;
		}
	}
	source->low = g->sequence;
	source->state = SYN_SENT;
	u32 limit = ends + at_least(target->max_window << by->target, 1);
	int moved = source->high == 1 || not_before(limit, source->high);
	if (moved)
		source->high = limit;
	source->max_window = at_least(source->max_window, *window);
	return moved;
}

/* What a segment does to a connection: the verdict; *timeout is TIMEOUT_* or STAYS. */
INLINE u32 tcp_update(struct side *source, struct side *target, const struct segment *g, u32 unchecked, u8 *timeout)
{
	u8 flags = g->flags;
	*timeout = STAYS;
	if (impossible(flags))
		return INVALID;
	if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		if (source->state >= FIN_WAIT_2 && target->state >= FIN_WAIT_2)
			return BEGINS_ANEW; /* Python closes both sides, when it sees the packet */
		if (source->state <= SYN_SENT) {
			source->state = SYN_SENT;
			*timeout = TIMEOUT_TCP_SYN_SENT;
			return FRESH;
		}
	}
	struct scales by = {};
	if (!(flags & TCP_SYN)) {
		u8 both = source->scale & target->scale;
		if (both & SCALE_KNOWN) {
			by.source = source->scale & SCALE;
			by.target = target->scale & SCALE;
		} else if (both & SCALE_UNKNOWN) {
			by.source = by.target = MAX_SCALE;
		}
	}
	u32 window = g->window, begins = g->sequence;
	u32 ends = begins + g->length + !!(flags & TCP_SYN) + !!(flags & TCP_FIN), acknowledged;
	int moved = 0;
	if (source->state < SYN_SENT)
		moved = first_of_side(source, target, g, ends, &window, &by);
	if (!(flags & TCP_ACK) || (!g->acknowledgement && flags & TCP_RST))
		acknowledged = target->low;
	else
		acknowledged = g->acknowledgement;
	if (begins == ends)
		begins = ends = source->low;
	s32 skew = moved ? 0 : (s32)(target->low - acknowledged), off = (s32)(g->sequence - source->low);
	int fits = not_before(source->high, ends) &&
		   not_before(begins, source->low - (target->max_window << by.target)) && skew >= -SLACK &&
		   skew <= SLACK << by.source && (!(flags & TCP_RST) || (off >= -1 && off <= 1));
	if (fits || unchecked) {
		slide(source, target, ends, acknowledged, window, by.source);
		*timeout = advance(source, target, flags);
		return VALID;
	}
	if ((target->state < SYN_SENT || target->state >= FIN_WAIT_2 || source->state >= FIN_WAIT_2) &&
	    not_before(source->high + SLACK, ends) && not_before(begins, source->low - SLACK)) {
		slide(source, target, ends, acknowledged, window, by.source);
		if (flags & TCP_FIN && source->state < CLOSING)
			source->state = CLOSING;
		if (flags & TCP_RST)
			source->state = target->state = TIME_WAIT;
		return VALID;
	}
	return INVALID;
}
