"""The published vectors of Youdu's envelope: made with the vendor's own SDKs, checked by three implementations.

V1 to V10 are sealed with the 16 leading bytes named; V11 with an initialisation vector that nobody was told.
"""

from __future__ import annotations

from dataclasses import dataclass

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
APP_ID = "yd00112233445566778899AABBCCDDEEFF"
BUIN = 12345678


@dataclass(frozen=True)
class Vector:
    """One message and what it is sealed to."""

    name: str
    random: bytes
    message: bytes
    sealed: str


VECTORS = (
    Vector(
        "V1",
        b"0123456789abcdef",
        b"1700000000",
        (
            "4j/AuRx71kQlxVlzbpsMWHh2+eLplXwgN2nil/N5HvY7ZAJnTP5lX93mZSICX+B5qJXUdHeIw7w5vAV/UOuFoswVKmX7OZ9mPzWN"
            "XkV2CZZOEZsAnriIEUdKBTDctNaU"
        ),
    ),
    Vector(
        "V2",
        b"qrstuvwxyzQRSTUV",
        b'{"accessToken":"tok-0001","expireIn":7200}',
        (
            "kduAB0jh3MYMuoBbepsqFJXg7iVgRoqEOHNq2dUQRfU8WSJCKqCiGgLzAVOlDxdjR7tCZ6Q+bUHEpRaXsb7VXtOJj2PnMVkG1brl"
            "qoQ1QhEO44bigqGRm/x8bPU2Kh0bd/gQE43n4L8Zcb5A5GkZbqExcGRZPds8hF2wzuEJghg="
        ),
    ),
    Vector(
        "V3",
        b"ABCDEFGHIJKLMNOP",
        '{"toUser":"alice|bob","toDept":"","msgType":"text","text":{"content":"你好, Youdu 😀"}}'.encode(),
        (
            "vyx3HuuV3UaeH6CffeASr6XIFOMWARAY4R6lO/XLzix7KDgg0EBR5G+Iws2JhYPWLaxiTzriXTqvu964kKw5vBbZ2WD1lPFkfRcP"
            "4munW6D5jrzsdwfWmia8cP+ReqpxXiIFU/AJQO1TaxqAxok5n035jaMtSnh0FDu8Rb0oEAs3EWoDG4P4J/3AFbTQwJeQ3j/TXe+6"
            "rRcYHBshYqsiAA=="
        ),
    ),
    Vector(
        "V4",
        b"upload-meta-0001",
        '{"type":"file","name":"报告.bin"}'.encode(),
        (
            "po3T+TioDuEYnWN22PXiLL0DbK7mfRBzP/vU2ipxefnOBivzbLNXblHnrFFCJEcy9xh4q8bdII1Mjt3uUyt1zTHsn3t2TQBL3nG0"
            "+57L8GkJvSKQJ6cBcqwi8awO3Tnn"
        ),
    ),
    Vector(
        "V5",
        b"binary-file-0001",
        bytes.fromhex("00ff102080"),
        "kr/F7VMm9uaQaeC9xhkUp2yB791X6lw6F0xLWoetmzXIFmoDong4I/8fXTurhfwsDGWF6gUqSMwLgtT7OGEKnQ==",
    ),
    Vector(
        "V6",
        b"mediaid-response",
        b'{"mediaId":"0f1e2d3c4b5a69788796a5b4c3d2e1f0-5"}',
        (
            "1p40Q0rhlK5NEL738GXprpsZ4iFkg8K9wWXoA1vN+uq7mqgHw7Ky8HsLcLVaoixNjmahXLaILYKx6jSlTw6oK8l2iCLhbsJuq1bg"
            "WkkGaKBVjaQHhP++bVr+KSBp/Sd8FKes1sx0uWwCT8ZcfO3Z12s6iAMr1FI3VMSiJ0MuHHY="
        ),
    ),
    Vector(
        "V7",
        b"download-header1",
        '{"name":"报告.bin","size":5}'.encode(),
        (
            "p66lUAQrRata0qLbiKKZueCHLnredjd8s2CkiHgOp5eZxCbrHfig6h8h1wSh1Ciwn97RTCpB0yDZLBLfBgywMH+Uwu1Jdtuh9VpV"
            "6IL0gI+475Iple9yqT2XYIYVst+T"
        ),
    ),
    Vector(
        "V8",
        b"set-notice-00001",
        b'{"account":"alice","count":3,"tip":"3 to do"}',
        (
            "vt2Gm9Lr02OHUKbhldffwjSHfR0Y//ks2Oopb+IkLD9QVSDgYz7F8WiJxk0Bvtl5VdtS9/XmgbtZubXU0mX9ee8sPxNekucQ8EgK"
            "ok6TI09kl6Gh3IK1RK6E1KProrEvP48+iXXt8bccPjilNZUsUFPbykWpfZc0kYVTBcHWiRg="
        ),
    ),
    Vector(
        "V9",
        b"callback-text-01",
        b'{"fromUser":"alice","createTime":1700000100,"packageId":"pkg-0001","msgType":"text","text":{"content":"hi"}}',
        (
            "j+Lt4qIO+MQ58Gd2s1dQihIVO7qDdQ0D1+WTtkuVppbia6kt+1oLNfOopKpys39oVhfjfH2yXhQ1IHoVsMsR+smy0W/fl6WoxYal"
            "32dEOvCFDHYN3nyWmnaaj+qAAdvYVrveQr+LUeE3597xcw1GNfqx588bdB60/8aJu95olr3HH3ge3OIVLAWo1nms9aO3OZwHtN4E"
            "cSfwSm4Z9fnoXBhbh5iqmvkXzgBrG956yqCRxEL3tVCHo6pw3zZ1T/sb"
        ),
    ),
    Vector(
        "V10",
        b"empty-plaintext1",
        b"",
        "i1cQnzVlGaiXCBR+MMD+dGNWKH15aZNs3JbHnBvQ+U1/hRbEFMgooQZrEhLvaneLGzCFfZZPKCPt72Ff/yjiyQ==",
    ),
)
FOREIGN = Vector(
    "V11",
    bytes(range(16)),
    "héllo 有度".encode(),
    (
        "8pAAtipJn9Cp85pq3S53gNZ09drg/oZ91s6MP85XEXg3QW5YxmBKJCUZO4Rs8IvP7SI7DHqWPIZ731olKFADOc6/2CRGcW+tv5NZ"
        "R6stK2KAXxO4p9FSO1Der0eRQXOB"
    ),
)

SIGNATURES = (
    ("u7cbtoken0000001", "1700000100", "493271", VECTORS[8].sealed, "79b73d1866230c69c764c8d86e85f793329abc53"),
    ("callbackToken123", "1700000001", "nonce456", "ENC==", "1853824c7c53ec8f41d357dde82d915351cee6ab"),
)
"""Token, timestamp, nonce, encrypted text, signature."""

PLAIN = {
    "V1": (
        "303132333435363738396162636465660000000a3137303030303030303079643030313132323333343435353636373738383939"
        "4141424243434444454546462020202020202020202020202020202020202020202020202020202020202020"
    ),
    "V5": (
        "62696e6172792d66696c652d303030310000000500ff10208079643030313132323333343435353636373738383939414142424343444"
        "4454546460505050505"
    ),
}
"""Plain texts, in hexadecimal, as the documentation lays them out."""


def vector(name: str) -> Vector:
    """The vector of this name."""
    return next(one for one in VECTORS if one.name == name)
