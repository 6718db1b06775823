/* volley: reading starts here. One binary; the first word picks a service or an operator's command.
 */
#include "ctl/ctl.h"
#include "probe/test.h"
#include "up/service.h"

extern char **environ;

int main(int argc, char **argv)
{
    static const struct command *const commands[] = {
        &command_up,      &command_ingest, &command_queue,   &command_publisher, &command_probe,
        &command_depth,   &command_failed, &command_replay,  &command_purge,     &command_hold,
        &command_release, &command_relays, &command_receipt, &command_send,      &command_test,
        &command_check,   &command_keys,   &command_health,
    };
    return command_main(commands, COUNT_OF(commands), argc, argv, environ);
}
