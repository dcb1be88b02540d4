"""The images that hosts have, for administrators."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Literal
from uuid import UUID, uuid5

from mooring.api.fields import ImageName, ShortText
from mooring.api.paging import PageQuery, paged
from mooring.api.reading import Body, Query
from mooring.api.routing import Call, Route
from mooring.api.views import View
from mooring.rpc.messages import Image

_NAMESPACE: Final = UUID("1d7b0d5e-6a1c-4f0e-9b0a-6d6f6f72696e")


class ImagesQuery(PageQuery):
    """Whose images are wanted, all hosts' where none is named, and in which order; all, where no limit is asked for."""

    host: ShortText | None = None
    sort_key: Literal["id", "uuid", "image_id", "repo", "tag", "size", "host"] = "id"


class PullBody(Body):
    """An image for a host, by name or id."""

    repo: ImageName
    host: ShortText


class ImageView(View):
    """An image on a host, which ``uuid`` tells from the same image on others; size in bytes."""

    uuid: str
    image_id: str
    repo: str
    tag: str
    size: int
    host: str


class ImagesView(View):
    """All of them, or a page; ``next`` is where the next one is."""

    images: tuple[ImageView, ...]
    next: str | None


def _list(call: Call[ImagesQuery, None]) -> ImagesView:
    host = None if call.query.host is None else call.core.store.host(call.query.host).name
    # Nothing numbers images: without another key they are in the order of their hosts.
    key = "host" if call.query.sort_key == "id" else call.query.sort_key
    query = call.query.model_copy(update={"sort_key": key})
    images = (_view(image, name) for name, image in call.core.inside.images(host))
    page, more = paged(images, query, path="/images", mark=lambda image: image.uuid)
    return ImagesView(images=page, next=more)


def _pull(call: Call[Query, PullBody]) -> ImageView:
    host = call.core.store.host(call.body.host).name
    return _view(call.core.inside.pull(call.body.repo, host), host)


def _view(image: Image, host: str) -> ImageView:
    name = f"{host} {image.id} {image.repository}:{image.tag}"
    return ImageView(
        uuid=str(uuid5(_NAMESPACE, name)),
        image_id=image.id,
        repo=image.repository,
        tag=image.tag,
        size=image.size_bytes,
        host=host,
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
