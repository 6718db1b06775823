/* Bech32 (BIP-173) without its limit of 90 characters, as NIP-19 asks, and the TLV of nevent. */
#include "common/nostr/nip19.h"

#include "common/base/hex.h"

#include <stdbool.h>
#include <string.h>

/* A nevent with a few relays in it; NIP-19 recommends no more than 5,000. */
#define TEXT_LEN_MAX   5000u
#define CHECKSUM_CHARS 6u

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t polymod(uint32_t check, uint8_t value)
{
    static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                         0x2a1462b3};
    uint32_t top = check >> 25;
    check = (check & 0x1ffffff) << 5 ^ value;
    for (int i = 0; i < 5; i++)
        if ((top >> i & 1) != 0)
            check ^= generator[i];
    return check;
}

static uint32_t polymod_prefix(const char *prefix)
{
    uint32_t check = 1;
    for (const char *at = prefix; *at != '\0'; at++)
        check = polymod(check, (uint8_t)*at >> 5);
    check = polymod(check, 0);
    for (const char *at = prefix; *at != '\0'; at++)
        check = polymod(check, (uint8_t)*at & 31);
    return check;
}

/* All in one case (BIP-173); brings it to lower case. */
static bool fold_case(const char *text, size_t len, char *out)
{
    bool upper = false, lower = false;
    for (size_t i = 0; i < len; i++) {
        bool is_upper = text[i] >= 'A' && text[i] <= 'Z';
        upper |= is_upper;
        lower |= text[i] >= 'a' && text[i] <= 'z';
        out[i] = (char)(is_upper ? text[i] | 0x20 : text[i]);
    }
    return !(upper && lower);
}

/* Five bits a character to eight bits a byte; less than a byte of zeros may be left over. */
static bool regroup(const uint8_t *values, size_t count, uint8_t *out, size_t *out_len)
{
    uint32_t bits = 0;
    unsigned have = 0;
    *out_len = 0;
    for (size_t i = 0; i < count; i++) {
        bits = (bits << 5 | values[i]) & 0xfff;
        have += 5;
        if (have >= 8) {
            have -= 8;
            out[(*out_len)++] = (uint8_t)(bits >> have);
        }
    }
    return have < 5 && (bits & ((1u << have) - 1)) == 0;
}

/* Decodes `text` when it is bech32 of this prefix. `out` has room for TEXT_LEN_MAX bytes. */
static bool decode(const char *text, const char *prefix, uint8_t *out, size_t *out_len)
{
    char folded[TEXT_LEN_MAX];
    uint8_t values[TEXT_LEN_MAX];
    size_t len = strnlen(text, TEXT_LEN_MAX + 1), head = strlen(prefix) + 1, count = 0;
    if (len > TEXT_LEN_MAX || len < head + CHECKSUM_CHARS || !fold_case(text, len, folded) ||
        memcmp(folded, prefix, head - 1) != 0 || folded[head - 1] != '1')
        return false;
    uint32_t check = polymod_prefix(prefix);
    for (size_t i = head; i < len; i++) {
        const char *at = memchr(alphabet, folded[i], 32);
        if (at == NULL)
            return false;
        values[count] = (uint8_t)(at - alphabet);
        check = polymod(check, values[count++]);
    }
    bool good = check == 1 && regroup(values, count - CHECKSUM_CHARS, out, out_len);
    explicit_bzero(folded, sizeof folded);
    explicit_bzero(values, sizeof values);
    return good;
}

static bool decode_32(const char *text, const char *prefix, uint8_t out[32])
{
    uint8_t data[TEXT_LEN_MAX];
    size_t len;
    bool good = decode(text, prefix, data, &len) && len == 32;
    if (good)
        memcpy(out, data, 32);
    explicit_bzero(data, sizeof data);
    return good;
}

/* The first entry of type 0 (special), which in a nevent is the id. Types not known are ignored. */
static bool decode_nevent(const char *text, uint8_t out[32])
{
    uint8_t data[TEXT_LEN_MAX];
    size_t len;
    if (!decode(text, "nevent", data, &len))
        return false;
    for (size_t i = 0; len - i >= 2; i += 2u + data[i + 1]) {
        if (data[i + 1] > len - i - 2)
            return false;
        if (data[i] == 0 && data[i + 1] == 32) {
            memcpy(out, data + i + 2, 32);
            return true;
        }
    }
    return false;
}

static bool is_hex(const char *text, uint8_t out[32])
{
    return hex_get(text, strnlen(text, 65), out, 32) == ERR_NONE;
}

enum err nip19_pubkey(const char *text, uint8_t out[32], struct problem *p)
{
    if (is_hex(text, out) || decode_32(text, "npub", out))
        return ERR_NONE;
    return problem_set(p, ERR_INVALID,
                       "not a public key: 64 lower-case hex digits or npub1… are wanted");
}

enum err nip19_event_id(const char *text, uint8_t out[32], struct problem *p)
{
    if (is_hex(text, out) || decode_32(text, "note", out) || decode_nevent(text, out))
        return ERR_NONE;
    return problem_set(p, ERR_INVALID,
                       "not an event id: 64 lower-case hex digits, note1… or nevent1… are wanted");
}

enum err nip19_secret(const char *text, uint8_t out[32], struct problem *p)
{
    if (is_hex(text, out) || decode_32(text, "nsec", out))
        return ERR_NONE;
    return problem_set(p, ERR_INVALID,
                       "not a secret key: 64 lower-case hex digits or nsec1… are wanted");
}

/* 256 bits are 51 characters and one bit more, which four zeros fill up. */
static void encode(const char *prefix, const uint8_t data[32], char out[NIP19_NPUB_SIZE])
{
    uint32_t check = polymod_prefix(prefix);
    size_t len = strlen(prefix);
    memcpy(out, prefix, len);
    out[len++] = '1';
    for (size_t bit = 0; bit < 256; bit += 5) {
        uint32_t two_bytes = (uint32_t)data[bit / 8] << 8;
        if (bit / 8 < 31)
            two_bytes |= data[bit / 8 + 1];
        uint8_t value = (uint8_t)(two_bytes >> (11 - bit % 8) & 31);
        check = polymod(check, value);
        out[len++] = alphabet[value];
    }
    for (unsigned i = 0; i < CHECKSUM_CHARS; i++)
        check = polymod(check, 0);
    check ^= 1;
    for (unsigned i = 0; i < CHECKSUM_CHARS; i++)
        out[len++] = alphabet[check >> 5 * (CHECKSUM_CHARS - 1 - i) & 31];
    out[len] = '\0';
}

void nip19_npub(const uint8_t pubkey[32], char out[NIP19_NPUB_SIZE])
{
    encode("npub", pubkey, out);
}

void nip19_note(const uint8_t id[32], char out[NIP19_NPUB_SIZE])
{
    encode("note", id, out);
}
