/* Who types: user@host, for the log and the jobs. */
#include "ctl/ctl.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Behind sudo it is the person, not root. Only root is asked for it: anybody else could say what
 * they like. */
static const char *user_name(char *number, size_t size)
{
    const char *person = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    const struct passwd *user = getpwuid(getuid());
    if (person != NULL && person[0] != '\0')
        return person;
    if (user != NULL && user->pw_name[0] != '\0')
        return user->pw_name;
    (void)snprintf(number, size, "%u", (unsigned)getuid());
    return number;
}

void operator_name(char out[OPERATOR_SIZE])
{
    char host[65] = "", number[16], text[256];
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        (void)snprintf(host, sizeof host, "localhost");
    (void)snprintf(text, sizeof text, "%.120s@%s", user_name(number, sizeof number), host);
    (void)clean_text(text, out, OPERATOR_SIZE);
}
