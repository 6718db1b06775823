#include "ingest/info.h"

#include "common/nostr/message.h"

#include <cjson/cJSON.h>

/* 9: an author's deletion cancels what is still queued, and is broadcast. 13: min_pow. 40: expired
 * events are refused. 70: protected events are refused, as nobody can authenticate. */
static const int supported_nips[] = {1, 9, 11, 13, 40, 70};

/* What an event needs besides its content and tags: the limit we have is on the whole. */
#define FRAME_LEN 400u

static cJSON *must(cJSON *item)
{
    if (item == NULL)
        die("out of memory");
    return item;
}

static void put_number(cJSON *object, const char *name, double value)
{
    must(cJSON_AddNumberToObject(object, name, value));
}

static void put_limitation(cJSON *root, const struct ingest_options *o, size_t message_max)
{
    cJSON *l = must(cJSON_AddObjectToObject(root, "limitation"));

    put_number(l, "max_message_length", (double)message_max);
    put_number(l, "max_content_length", o->max_event > FRAME_LEN ? o->max_event - FRAME_LEN : 0);
    put_number(l, "max_event_tags", EVENT_TAGS_MAX);
    put_number(l, "max_subscriptions", 0);
    put_number(l, "max_subid_length", SUBSCRIPTION_LEN_MAX);
    put_number(l, "min_pow_difficulty", o->min_pow);
    must(cJSON_AddBoolToObject(l, "auth_required", false));
    must(cJSON_AddBoolToObject(l, "payment_required", false));
    must(cJSON_AddBoolToObject(l, "restricted_writes", o->allow_len > 0 || o->min_pow > 0));
    if (o->created_at_past_s > 0)
        put_number(l, "created_at_lower_limit", (double)o->created_at_past_s);
    if (o->created_at_future_s > 0)
        put_number(l, "created_at_upper_limit", (double)o->created_at_future_s);
}

char *info_new(const struct ingest_options *o, size_t message_max)
{
    cJSON *root = must(cJSON_CreateObject());

    must(cJSON_AddStringToObject(root, "name", "volley"));
    must(cJSON_AddStringToObject(root, "description",
                                 "A broadcaster: queues signed events durably and delivers them to "
                                 "its owner's relays. Keeps no archive."));
    must(cJSON_AddStringToObject(root, "software", "volley"));
    must(cJSON_AddStringToObject(root, "version", VERSION));
    cJSON *nips = must(cJSON_CreateIntArray(supported_nips, (int)COUNT_OF(supported_nips)));
    (void)cJSON_AddItemToObject(root, "supported_nips", nips);
    put_limitation(root, o, message_max);
    char *text = cJSON_PrintUnformatted(root);
    if (text == NULL)
        die("out of memory");
    cJSON_Delete(root);
    return text;
}
