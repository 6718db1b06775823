#include "common/nostr/kinds.h"

enum kind_class kind_class(uint32_t kind)
{
    if (kind == 0 || kind == 3 || (kind >= 10000 && kind < 20000))
        return KIND_REPLACEABLE;
    if (kind >= 20000 && kind < 30000)
        return KIND_EPHEMERAL;
    if (kind >= 30000 && kind < 40000)
        return KIND_ADDRESSABLE;
    return KIND_REGULAR;
}

bool kind_private(uint32_t kind)
{
    return kind == 4 || kind == 1059 || kind == 21059;
}

bool kind_never(uint32_t kind)
{
    return kind == KIND_AUTH;
}
