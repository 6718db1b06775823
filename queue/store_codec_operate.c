/* The records of what operators do: lists of relays, replay jobs. As store_codec.c. */
#include "queue/store_operate.h"

void list_pack(struct pack *p, const struct list *l)
{
    pack_raw(p, l->hash, sizeof l->hash);
    pack_i64(p, l->since_ms);
    pack_str(p, l->by);
    pack_i64(p, l->replaced_ms);
    pack_str(p, l->replaced_by);
}

bool list_unpack(struct unpack *u, struct list *l)
{
    unpack_raw(u, l->hash, sizeof l->hash);
    l->since_ms = unpack_i64(u);
    unpack_str(u, l->by, sizeof l->by);
    l->replaced_ms = unpack_i64(u);
    unpack_str(u, l->replaced_by, sizeof l->replaced_by);
    return unpack_end(u) == ERR_NONE;
}

void job_pack(struct pack *p, const struct job *j)
{
    const struct replay_job *t = &j->told;
    pack_u8(p, (uint8_t)t->state);
    pack_i64(p, t->made_ms);
    pack_i64(p, t->ended_ms);
    pack_u32(p, t->rate_per_1000s);
    pack_u64(p, t->total);
    pack_u64(p, t->waiting);
    pack_u64(p, t->asked);
    pack_u64(p, t->delivered);
    pack_u64(p, t->failed);
    pack_u64(p, t->dropped);
    pack_str(p, t->text);
    pack_str(p, t->by);
    pack_u64(p, j->token);
    pack_u32(p, j->next_lane);
}

bool job_unpack(struct unpack *u, struct job *j)
{
    struct replay_job *t = &j->told;
    t->state = (enum job_state)record_enum(u, JOB_STATE_COUNT);
    t->made_ms = unpack_i64(u);
    t->ended_ms = unpack_i64(u);
    t->rate_per_1000s = unpack_u32(u);
    t->total = unpack_u64(u);
    t->waiting = unpack_u64(u);
    t->asked = unpack_u64(u);
    t->delivered = unpack_u64(u);
    t->failed = unpack_u64(u);
    t->dropped = unpack_u64(u);
    unpack_str(u, t->text, sizeof t->text);
    unpack_str(u, t->by, sizeof t->by);
    j->token = unpack_u64(u);
    j->next_lane = unpack_u32(u);
    return unpack_end(u) == ERR_NONE;
}

void member_pack(struct pack *p, const struct member *m)
{
    pack_u64(p, m->job);
    pack_u8(p, m->asked);
}

bool member_unpack(struct unpack *u, struct member *m)
{
    m->job = unpack_u64(u);
    m->asked = record_enum(u, 2) != 0;
    return unpack_end(u) == ERR_NONE;
}
