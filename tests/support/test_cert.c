/* Certificates made at test time. */
#include "tests/support/link_server.h"

#include "common/base/err.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (e == NULL || X509_add_ext(cert, e, -1) != 1)
        die("test certificate: extension %s", value);
    X509_EXTENSION_free(e);
}

struct test_cert test_cert_new(const char *name, const struct test_cert *ca, long from_s, long to_s)
{
    static long serial;
    char names[200];
    struct test_cert c = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *subject = X509_get_subject_name(c.cert);
    X509 *issuer = ca == NULL ? c.cert : ca->cert;
    X509_set_version(c.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c.cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(c.cert), to_s);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(c.cert, X509_get_subject_name(issuer));
    X509_set_pubkey(c.cert, c.key);
    (void)snprintf(names, sizeof names, "DNS:%s", name);
    if (ca == NULL)
        add_extension(c.cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    else
        add_extension(c.cert, issuer, NID_subject_alt_name, names);
    if (X509_sign(c.cert, ca == NULL ? c.key : ca->key, EVP_sha256()) == 0)
        die("test certificate: not signed");
    return c;
}

void test_cert_free(struct test_cert *c)
{
    EVP_PKEY_free(c->key);
    X509_free(c->cert);
}

SSL_CTX *test_cert_context(const struct test_cert *c)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate(context, c->cert) != 1 ||
        SSL_CTX_use_PrivateKey(context, c->key) != 1)
        die("test certificate: not usable");
    return context;
}

void test_cert_write(const struct test_cert *c, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/volley-test-XXXXXX", P_tmpdir);
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f == NULL || PEM_write_X509(f, c->cert) != 1 || fclose(f) != 0)
        die("test certificate: cannot be written to %s", path);
}
