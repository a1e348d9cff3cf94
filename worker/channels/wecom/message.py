"""The message of an upload job, the same for every app of a corp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import InstanceOf

from worker.channels.typed import VendorMessage
from worker.domain.content.message import File


class Upload(VendorMessage):
    """The message of an upload job (pages 90253 上传临时素材, 90256 上传图片).

    Its receipt is a `media_id` for 3 days, or for `uploadimg` a picture's URL that never ends.
    """

    file: InstanceOf[File]
    """More than 5 bytes. Members see its name, without `" \\ / :` and line ends."""
    upload_type: str = "file"
    """`image` (JPG, PNG, 10 MB), `voice` (AMR, 2 MB, 60 s), `video` (MP4, 10 MB), `file` (any, 20 MB), `uploadimg`
    (a picture of 2 MB for mpnews content; 1000 a day and 3000 a month per corp). Other: 40005."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; all of an upload is in `files`."""
        return {"type": "upload"}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {"media": (self.upload_type, self.file)}
