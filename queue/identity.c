#include "queue/identity.h"

#include "common/base/rng.h"

#include <stdio.h>
#include <unistd.h>

void identity_make(uint8_t id[PUBLISHER_ID_LEN], char name[PUBLISHER_NAME_SIZE])
{
    char host[PUBLISHER_NAME_SIZE - 12] = "";
    rng_secure(id, PUBLISHER_ID_LEN);
    if (gethostname(host, sizeof host - 1) != 0)
        (void)snprintf(host, sizeof host, "?");
    (void)snprintf(name, PUBLISHER_NAME_SIZE, "%s:%d", host, (int)getpid());
}
