"""Pictures of clustered genres."""

from folksong.labels import npmi
from folksong.labels.space import Label, LabelSpace
from folksong.labels.subgenres import write_plots
from folksong.tags.table import TagTable

from ..conftest import GENRES

SPACE = LabelSpace(
    tuple(Label(name, tuple(GENRES[name])) for name in ("metal", "electronic")), {"Techno": "techno"}
)


def test_plots_show_any_tag(table, tmp_path):
    odd = {"metal": "a $x$ \n🎸 tag " + "x" * 200}
    tags = [odd.get(tag, tag) for tag in table.tags]
    renamed = TagTable(table.track_ids, tags, table.weights)
    space = LabelSpace((Label("a / b", tuple(odd.get(tag, tag) for tag in GENRES["metal"])), SPACE.labels[1]))
    clusterings = []
    npmi(renamed, space, keep_main=True, on_genre=clusterings.append)
    written = write_plots(clusterings, tmp_path)
    kinds = ("dendrogram", "silhouette", "tsne")
    expected = [f"{kind}-{genre}.png" for kind in kinds for genre in ("00-a-b", "01-electronic")]
    assert sorted(path.name for path in written) == expected
    sizes = {path.name: path.stat().st_size for path in written}
    assert len(set(sizes.values())) == 6
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
