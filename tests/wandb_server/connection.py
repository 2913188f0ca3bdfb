"""Pages of a list, as GraphQL's connections give them."""

from collections.abc import Callable, Sequence
from typing import Any

from wandb_server.executor import Args

PAGE = 50


class Connection:
    """`edges`, `pageInfo` and `totalCount` of the items that `first` and `after` choose."""

    def __init__(
        self,
        items: Sequence[Any],
        args: Args,
        node: Callable[[Any], object] = lambda item: item,
        **of_edge: Callable[[Any], object],
    ) -> None:
        begin = int(args.get("after") or 0)
        first = args.get("first")
        end = min(len(items), begin + (PAGE if first is None else int(first)))
        self.total_count = len(items)
        self.edges = [
            {
                "node": node(items[at]),
                "cursor": str(at + 1),
                **{name: make(items[at]) for name, make in of_edge.items()},
            }
            for at in range(begin, end)
        ]
        self.page_info = {
            "__typename": "PageInfo",
            "endCursor": str(end) if self.edges else None,
            "hasNextPage": end < len(items),
        }
