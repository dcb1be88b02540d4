"""The images that hosts have, for administrators."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from mooring.api.fields import ImageName, ShortText
from mooring.api.reading import Body, Query
from mooring.api.routing import Call, Route
from mooring.api.views import View
from mooring.rpc.messages import Image


class ImagesQuery(Query):
    """Whose images are wanted; all hosts' where none is named."""

    host: ShortText | None = None


class PullBody(Body):
    """An image for a host, by name or id."""

    repo: ImageName
    host: ShortText


class ImageView(View):
    """An image on a host; size in bytes."""

    uuid: str
    image_id: str
    repo: str
    tag: str
    size: int
    host: str


class ImagesView(View):
    """All of them."""

    images: tuple[ImageView, ...]


def _list(call: Call[ImagesQuery, None]) -> ImagesView:
    host = None if call.query.host is None else call.core.store.host(call.query.host).name
    return ImagesView(images=tuple(_view(image, name) for name, image in call.core.inside.images(host)))


def _pull(call: Call[Query, PullBody]) -> ImageView:
    host = call.core.store.host(call.body.host).name
    return _view(call.core.inside.pull(call.body.repo, host), host)


def _view(image: Image, host: str) -> ImageView:
    return ImageView(
        uuid=image.id, image_id=image.id, repo=image.repository, tag=image.tag, size=image.size_bytes, host=host
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/images",
        rule="image:get_all",
        handler=_list,
        summary="List the images that hosts have",
        query=ImagesQuery,
        reply=ImagesView,
    ),
    Route(
        method="POST",
        path="/images",
        rule="image:pull",
        handler=_pull,
        summary="Have a host fetch an image",
        status=HTTPStatus.ACCEPTED,
        body=PullBody,
        reply=ImageView,
        also=(HTTPStatus.BAD_GATEWAY,),
    ),
)
