"""What webhook/upload_media takes (page 99110, 文件上传接口), and pictures that travel inside a message."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.upload import MB, UPLOADS as SHARED, UploadRule
from worker.domain.content.message import INLINE

INLINE_IMAGE = UploadRule(2 * MB, "JPG or PNG", SHARED["image"].starts)
"""The rule for a picture before it becomes base64 (40009, 93018)."""

UPLOADS: Mapping[str, UploadRule] = {
    "file": UploadRule(20 * MB, "any"),
    "voice": SHARED["voice"],
    INLINE: INLINE_IMAGE,
}
"""`inline` is never uploaded: its bytes stand in the message itself."""
