#include "common/net/family.h"

const char *family_name(enum family f)
{
    static const char *const names[FAMILY_COUNT] = {"-", "ipv6", "ipv4", "onion"};
    return f >= 0 && f < FAMILY_COUNT ? names[f] : "?";
}

const char *family_mode_name(enum family_mode m)
{
    static const char *const names[MODE_COUNT] = {"auto", "ipv6", "ipv4"};
    return m >= 0 && m < MODE_COUNT ? names[m] : "?";
}

const char *route_name(enum route r)
{
    static const char *const names[ROUTE_COUNT] = {"tor", "direct"};
    return r >= 0 && r < ROUTE_COUNT ? names[r] : "?";
}
