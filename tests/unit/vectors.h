/* Vectors for test_event_id.c: BIP-340's own, and events that were signed by other programs than
 * this one. */
#ifndef VOLLEY_TESTS_UNIT_VECTORS_H
#define VOLLEY_TESTS_UNIT_VECTORS_H

#include <stdbool.h>

/* bip-0340/test-vectors.csv, all 19 (index 0 to 18), in lower case. No secret where BIP-340 has
 * none. */
static const struct {
    const char *secret, *pubkey, *message, *sig;
    bool good;
    const char *comment;
} bip340[] = {
    {"0000000000000000000000000000000000000000000000000000000000000003",
     "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
     "0000000000000000000000000000000000000000000000000000000000000000",
     "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca821525f66a4a85ea8b71e482a74f382d2"
     "ce5ebeee8fdb2172f477df4900d310536c0",
     true, "0"},
    {"b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef",
     "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de33418906d11ac976abccb20b091292bff"
     "4ea897efcb639ea871cfa95f6de339e4b0a",
     true, "1"},
    {"c90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b14e5c9",
     "dd308afec5777e13121fa72b9cc1b7cc0139715309b086c960e18fd969774eb8",
     "7e2d58d8b3bcdf1abadec7829054f90dda9805aab56c77333024b9d0a508b75c",
     "5831aaeed7b44bb74e5eab94ba9d4294c49bcf2a60728d8b4c200f50dd313c1bab745879a5ad954a72c45a91c3a51"
     "d3c7adea98d82f8481e0e1e03674a6f3fb7",
     true, "2"},
    {"0b432b2677937381aef05bb02a66ecd012773062cf3fa2549e44f58ed2401710",
     "25d1dff95105f5253c4022f628a996ad3a0d95fbf21d468a1b33f8c160d8f517",
     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     "7eb0509757e246f19449885651611cb965ecc1a187dd51b64fda1edc9637d5ec97582b9cb13db3933705b32ba982a"
     "f5af25fd78881ebb32771fc5922efc66ea3",
     true, "3: a message that must not be reduced modulo p or n"},
    {"", "d69c3509bb99e412e68b0fe8544e72837dfa30746d8be2aa65975f29d22dc7b9",
     "4df3c3f68fcc83b27e9d42c90431a72499f17875c81a599b566c9889b9696703",
     "00000000000000000000003b78ce563f89a0ed9414f5aa28ad0d96d6795f9c6376afb1548af603b3eb45c9f8207de"
     "e1060cb71c04e80f593060b07d28308d7f4",
     true, "4"},
    {"", "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e17776969e89b4c5564d00349106b8497785"
     "dd7d1d713a8ae82b32fa79d5f7fc407d39b",
     false, "5: public key not on the curve"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a14602975563cc27944640ac607cd107ae10923d"
     "9ef7a73c643e166be5ebeafa34b1ac553e2",
     false, "6: has_even_y(R) is false"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "1fa62e331edbc21c394792d2ab1100a7b432b013df3f6ff4f99fcb33e0e1515f28890b3edb6e7189b630448b515ce"
     "4f8622a954cfe545735aaea5134fccdb2bd",
     false, "7: negated message"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769961764b3aa9b2ffcb6ef947b6887a"
     "226e8d7c93e00c5ed0c1834ff0d0c2e6da6",
     false, "8: negated s value"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "0000000000000000000000000000000000000000000000000000000000000000123dda8328af9c23a94c1feecfd12"
     "3ba4fb73476f0d594dcb65c6425bd186051",
     false, "9: sG - eP is infinite, x(inf) as 0"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "00000000000000000000000000000000000000000000000000000000000000017615fbaf5ae28864013c099742dea"
     "db4dba87f11ac6754f93780d5a1837cf197",
     false, "10: sG - eP is infinite, x(inf) as 1"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "4a298dacae57395a15d0795ddbfd1dcb564da82b0f269bc70a74f8220429ba1d69e89b4c5564d00349106b8497785"
     "dd7d1d713a8ae82b32fa79d5f7fc407d39b",
     false, "11: sig[0:32] is not an X coordinate on the curve"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f69e89b4c5564d00349106b8497785"
     "dd7d1d713a8ae82b32fa79d5f7fc407d39b",
     false, "12: sig[0:32] is equal to field size"},
    {"", "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769fffffffffffffffffffffffffffff"
     "ffebaaedce6af48a03bbfd25e8cd0364141",
     false, "13: sig[32:64] is equal to curve order"},
    {"", "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",
     "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
     "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e17776969e89b4c5564d00349106b8497785"
     "dd7d1d713a8ae82b32fa79d5f7fc407d39b",
     false, "14: public key exceeds the field size"},
    {"0340034003400340034003400340034003400340034003400340034003400340",
     "778caa53b4393ac467774d09497a87224bf9fab6f6e68b23086497324d6fd117", "",
     "71535db165ecd9fbbc046e5ffaea61186bb6ad436732fccc25291a55895464cf6069ce26bf03466228f19a3a62db8"
     "a649f2d560fac652827d1af0574e427ab63",
     true, "15: message of size 0"},
    {"0340034003400340034003400340034003400340034003400340034003400340",
     "778caa53b4393ac467774d09497a87224bf9fab6f6e68b23086497324d6fd117", "11",
     "08a20a0afef64124649232e0693c583ab1b9934ae63b4c3511f3ae1134c6a303ea3173bfea6683bd101fa5aa5dbc1"
     "996fe7cacfc5a577d33ec14564cec2bacbf",
     true, "16: message of size 1"},
    {"0340034003400340034003400340034003400340034003400340034003400340",
     "778caa53b4393ac467774d09497a87224bf9fab6f6e68b23086497324d6fd117",
     "0102030405060708090a0b0c0d0e0f1011",
     "5130f39a4059b43bc7cac09a19ece52b5d8699d1a71e3c52da9afdb6b50ac370c4a482b77bf960f8681540e25b677"
     "1ece1e5a37fd80e5a51897c5566a97ea5a5",
     true, "17: message of size 17"},
    {"0340034003400340034003400340034003400340034003400340034003400340",
     "778caa53b4393ac467774d09497a87224bf9fab6f6e68b23086497324d6fd117",
     "999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"
     "999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"
     "99999999999999",
     "403b12b0d8555a344175ea7ec746566303321e5dbfa8be6f091635163eca79a8585ed3e3170807e7c03b720fc54c7"
     "b23897fcba0e9d0b4a06894cfd249f22367",
     true, "18: message of size 100"},
};

/* Signed with a BIP-340 reference of a few lines of Python, the ids from its hashlib; then two
 * events from the network. All canonical. */
static const struct {
    const char *what, *json;
} signed_events[] = {
    {"newline",
     "{\"id\":\"c8c1e85f1f76336249fa5d45208c3776eb9d9fd656bfbcd02bb45174856df0e5\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\nx\"]],\"content\":\"a\\nb\",\"sig\":"
     "\"a67f79a461ea6c5560c1da0c09411fc9a20cd590343c38eb0b5b854598ea7ad0f008a3412b58b7dd020030c039c"
     "fef2d91a609baf192a3065a2b0037d70922f9\"}"},
    {"quote",
     "{\"id\":\"f08cbaf557e4448f93a7ebffccb23156db9b8d3a3f43ce0790469d12646dbae8\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\\"x\"]],\"content\":\"a\\\"b\",\"sig\":"
     "\"0112feb1d0bea5b68819a16fdaeb10a7ed016c5e0a22dfe424bd70444971a65628153e83fac7bf79ad86147c5ba"
     "eba6c20c9f835a605164b7cda1059c44339e4\"}"},
    {"backslash",
     "{\"id\":\"5b652711c0fa7dbad0da811c38024ae3b9a408bc2981a60d310889ff59659ca9\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\\\x\"]],\"content\":\"a\\\\b\",\"sig\":"
     "\"2bdaedce9d7f8451d2314bea7a1635dcc3efad3bb2dd3040623057a5c3785ecb186081e8742eb24f0e0aeecb4c5"
     "f66c3d692ea3780c2c6a6819088d10510c187\"}"},
    {"carriage return",
     "{\"id\":\"fd78fe0c02f5dc7282c831c30d567f37d6dfc6e889781a03267817646dd3cf37\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\rx\"]],\"content\":\"a\\rb\",\"sig\":"
     "\"cd4021218189b55ecffef40885b95b231761338d946365ab8b72c816515206021a2a5af42f5f20c680aca8da9fe"
     "39d08fea82f4b214518a68883e60274d8b5a9\"}"},
    {"tab",
     "{\"id\":\"d556083bb2147afc79d0cab4480d3be9b2cb34fd72c67962a8d6d707c85bbf8c\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\tx\"]],\"content\":\"a\\tb\",\"sig\":"
     "\"503a9b37d9dfc858149bbfe0e80a22862b3c3f105e4e94424711868421dfb2b45d9082979b71ee3ad6ee4056b87"
     "1bebe0592f85f5f810906b6ba9abc523a5f25\"}"},
    {"backspace",
     "{\"id\":\"657d0412ebd28f8367e009dcfb2d8e79b79a383ab19a7aa14532700e9f1da868\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\bx\"]],\"content\":\"a\\bb\",\"sig\":"
     "\"f9e08c06db5037cb8a02074f321b12bcb2141edff9577345cc1718819aab0c02ec566c7444853075778b5d17175"
     "82e26be38ce961f20bdec127021d48a0a91d4\"}"},
    {"form feed",
     "{\"id\":\"88042a816e45d8563eadeea863c0e3e4c533fc9a649adba62716c8fd3f784a76\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\fx\"]],\"content\":\"a\\fb\",\"sig\":"
     "\"18c9935e900b5972fa72c60b62ae9e4c00fb81498aca6e2060da042f4ee5618e72140988e809d71e659c74a12f2"
     "8f8088ad98e3f59cce894e5ffea1203a39f4c\"}"},
    {"all seven in a row",
     "{\"id\":\"a4d8c30c1b9925da2889e081f8c573134f7d8a925c6733ce6574f54f8004af6f\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[],\"content\":\"\\n\\\"\\\\\\r\\t\\b\\f\",\"sig\":"
     "\"1f31929a2128a9ff5ae3b4f3070e2d696e535bc7f4a17abeffd649c42a332eb851fec67ea7065d37229155c800c"
     "12a88c65ecc12712e4d358385212d3d56f496\"}"},
    {"other control characters, id of the raw ones",
     "{\"id\":\"fd1698e50336687326a9d440dc1662b1ba0bf150faa08a3369870583e9fa526d\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\u0001\"]],\"content\":\"\\u0001\\u000b\\u001f\","
     "\"sig\":"
     "\"8bab3b49b8a74f7202765cabbe21ce19d4cc38f998f2fbab9893221a2135d526a5e592adc001ddbec3e1cbe24f0"
     "6b6de15b4ecc8d2f16c41cf79da8020bb13dc\"}"},
    {"other control characters, id of the \\u00xx form",
     "{\"id\":\"fe397823cc6dfdcb9105fe6a1e60c194421e0f1ce09ab32d200dc2fbb3624d3e\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"t\",\"\\u0001\"]],\"content\":\"\\u0001\\u000b\\u001f\","
     "\"sig\":"
     "\"8050b77231bcdec3d1594dbfe43edd3fb5e373f654698ec21e37501dcf4ab7875ce8c5220e96490d1bc2ae5780a"
     "cd2bced1811e7728f00afcd280112784b3af3\"}"},
    {"what looks like an escape and is none",
     "{\"id\":\"3b3d63acfbb2124040956b22ec952427c3d8786565a1e65dfe1ddc04222aff7c\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[],\"content\":\"\\\\u0001\",\"sig\":"
     "\"cd2403cde128e763d1a4e0f261d3923e18f52370890b3e5fe8e9bd80f98f3fadd786f62b46acfb397bc284f8bfc"
     "05e9a3096f3445a3410875e8a988feed100bf\"}"},
    {"DEL is no control character",
     "{\"id\":\"7c2a5ba768c4cd5763344885c1f3252b976bab2957b621dc7e4fa9faa8951ec7\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[],\"content\":\"a\x7f"
     "b\",\"sig\":"
     "\"ec0c345b1c0dd9b99337449622ad36e9c57b6adf0df56d405c800cc793276b1b03694219a0b0f1fbd2966eb71e9"
     "e743ca7c7f0118bfbeb079ff34c8df2b4ad5d\"}"},
    {"UTF-8 of each length",
     "{\"id\":\"654fcf495a8c45b8ab36b542352fbca65ef9421a38ad9fc01c8e5e38fdc08fef\",\"pubkey\":"
     "\"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659\",\"created_at\":"
     "1700000000,\"kind\":1,\"tags\":[[\"\xc3\xa9\",\"\xe2\x82\xac\"]],\"content\":"
     "\"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\",\"sig\":"
     "\"a351952ed784f05fc4cdccf9d1302690ffa851f219c5142689ba3d1dc372903827642b8953328a39f38e567b9ea"
     "f7900a36c538e61c3f6ea08d9fe7a511d6dab\"}"},
    {"no content, no tags, time and kind 0",
     "{\"id\":\"e37d3d8a5cd27629fd198d21819aedd901a0a84297c9d9259543e162891c72aa\",\"pubkey\":"
     "\"f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9\",\"created_at\":0,"
     "\"kind\":0,\"tags\":[],\"content\":\"\",\"sig\":"
     "\"2c21e52ecc55c151b3240bcd8b766a64ccc8165a0eab23f0096c1bde2ea86e741da264b5d4f8cd829ae7c82d88c"
     "6b90dc272894f11d40caeaf92591eeb938699\"}"},
    {"an empty tag and empty strings",
     "{\"id\":\"32cbca63308e38ffab23d176edcb39fc7f6099fd835e0601c4490dcee8b7353a\",\"pubkey\":"
     "\"f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9\",\"created_at\":"
     "253402300799,\"kind\":65535,\"tags\":[[],[\"\",\"\"]],\"content\":\"\",\"sig\":"
     "\"c7963531a0c66e2e45e47d89486908706def74d5ff65fbccde41bd963bc8cc1a2bbdb82b6ed3bd4f4eb49918960"
     "9fc939ac68db3cd00c6b312e77d230435ff7a\"}"},
    {"a note of 2022",
     "{\"id\":\"dc90c95f09947507c1044e8f48bcf6350aa6bff1507dd4acfc755b9239b5c962\",\"pubkey\":"
     "\"3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d\",\"created_at\":"
     "1644271588,\"kind\":1,\"tags\":[],\"content\":\"now that "
     "https://blueskyweb.org/blog/2-7-2022-overview was announced we can stop working on "
     "nostr?\",\"sig\":"
     "\"230e9d8f0ddaf7eb70b5f7741ccfa37e87a455c9a469282e3464e2052d3192cd63a167e196e381ef9d7e69e9ea4"
     "3af2443b839974dc85d8aaab9efe1d9296524\"}"},
    {"a contact list with JSON in it",
     "{\"id\":\"9e662bdd7d8abc40b5b15ee1ff5e9320efc87e9274d8d440c58e6eed2dddfbe2\",\"pubkey\":"
     "\"373ebe3d45ec91977296a178d9f19f326c70631d2a1b0bbba5c5ecc2eb53b9e7\",\"created_at\":"
     "1644844224,\"kind\":3,\"tags\":[[\"p\","
     "\"3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d\"],[\"p\","
     "\"75fc5ac2487363293bd27fb0d14fb966477d0f1dbc6361d37806a6a740eda91e\"],[\"p\","
     "\"46d0dfd3a724a302ca9175163bdf788f3606b3fd1bb12d5fe055d1e418cb60ea\"]],\"content\":\"{"
     "\\\"wss://nostr-pub.wellorder.net\\\":{\\\"read\\\":true,\\\"write\\\":true},\\\"wss://"
     "nostr.bitcoiner.social\\\":{\\\"read\\\":false,\\\"write\\\":true},\\\"wss://"
     "expensive-relay.fiatjaf.com\\\":{\\\"read\\\":true,\\\"write\\\":true},\\\"wss://"
     "relayer.fiatjaf.com\\\":{\\\"read\\\":true,\\\"write\\\":true},\\\"wss://"
     "relay.bitid.nz\\\":{\\\"read\\\":true,\\\"write\\\":true},\\\"wss://"
     "nostr.rocks\\\":{\\\"read\\\":true,\\\"write\\\":true}}\",\"sig\":"
     "\"811355d3484d375df47581cb5d66bed05002c2978894098304f20b595e571b7e01b2efd906c5650080ffe49cf1c"
     "62b36715698e9d88b9e8be43029a2f3fa66be\"}"},
};

#endif
