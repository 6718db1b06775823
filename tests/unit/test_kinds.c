/* Each class of kinds at each of its boundaries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "common/nostr/kinds.h"

static void each_kind_has_its_class(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        enum kind_class class;
    } rows[] = {
        {0, KIND_REPLACEABLE},     {1, KIND_REGULAR},         {2, KIND_REGULAR},
        {3, KIND_REPLACEABLE},     {4, KIND_REGULAR},         {5, KIND_REGULAR},
        {41, KIND_REGULAR},        {44, KIND_REGULAR},        {45, KIND_REGULAR},
        {999, KIND_REGULAR},       {1000, KIND_REGULAR},      {1059, KIND_REGULAR},
        {9999, KIND_REGULAR},      {10000, KIND_REPLACEABLE}, {10002, KIND_REPLACEABLE},
        {19999, KIND_REPLACEABLE}, {20000, KIND_EPHEMERAL},   {22242, KIND_EPHEMERAL},
        {29999, KIND_EPHEMERAL},   {30000, KIND_ADDRESSABLE}, {30023, KIND_ADDRESSABLE},
        {39999, KIND_ADDRESSABLE}, {40000, KIND_REGULAR},     {65535, KIND_REGULAR},
        {65536, KIND_REGULAR},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (kind_class(rows[i].kind) != rows[i].class)
            fail_msg("kind %u", rows[i].kind);
}

static void three_kinds_are_private_and_one_never_leaves(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind <= 65535; kind++) {
        assert_int_equal(kind_private(kind), kind == 4 || kind == 1059 || kind == 21059);
        assert_int_equal(kind_never(kind), kind == 22242);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_class),
        cmocka_unit_test(three_kinds_are_private_and_one_never_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
