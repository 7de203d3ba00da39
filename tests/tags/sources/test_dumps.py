"""Dumps of MusicBrainz, ListenBrainz, AcousticBrainz, last.fm and Discogs, as these write them."""

import bz2
import gzip
import io
import json
import logging
import lzma
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import folksong as fs
from folksong.cli import main
from folksong.errors import FileFormatError, FolksongError
from folksong.tags.sources.delimited import read_artists

STAMP = "2026-01-03 04:05:06.789+00"
SOUR_TIMES, BLUE_ANGEL = "1234a7ae-2af2-4291-aa84-bd0bafe291a1", "ec5b8aa9-7483-4791-a185-1f599a0cdc35"
PORTISHEAD, ZIPPERS = "8f6bd1e4-fbe1-4f50-aa9b-94c450ec0f11", "31810c40-932a-4f2d-8cfd-17849844e2a6"
TABLES = {
    "COPYING": "CC0\n",
    "mbdump/artist_tag": f"65\t7\t12\t{STAMP}\n",
    "mbdump/recording_tag": f"3\t7\t10\t{STAMP}\n3\t8\t1\t{STAMP}\n3\t9\t-1\t{STAMP}\n"
    f"5\t8\t0\t{STAMP}\n5\t7\t4\t{STAMP}\n",
    "mbdump/release_group_tag": f"1\t7\t3\t{STAMP}\n",
    "mbdump/tag": "7\ttrip hop\t3\n8\tAC\\\\DC\\tlive\t2\n9\tböse\t1\n",
}
MAIN = {
    "mbdump/artist": f"65\t{PORTISHEAD}\tPortishead\tPortishead\t1991\n",
    "mbdump/recording": f"3\t{SOUR_TIMES}\tSour Times\t65\t253960\t\t0\t{STAMP}\tf\n"
    f"4\t00000000-0000-4000-8000-000000000000\tno tags\t1\t\\N\t\t0\t{STAMP}\tf\n"
    f"5\t{BLUE_ANGEL}\tBlue\\tAngel\t11\t275333\t\t0\t{STAMP}\tf\n",
}
BY_NUMBER = {("3", "trip hop"): 10, ("3", "AC\\DC\tlive"): 1, ("5", "trip hop"): 4}
BY_MBID = {
    (SOUR_TIMES, "trip hop"): 10,
    (SOUR_TIMES, "AC\\DC\tlive"): 1,
    (BLUE_ANGEL, "trip hop"): 4,
}


def pairs_of(table: fs.TagTable) -> dict[tuple[str, str], float]:
    return {(track, tag): weight for track in table.track_ids for tag, weight in table.tags_of(track)}


def packed(path: Path, files: dict[str, str]) -> Path:
    """Write a tar archive, compressed as its name says."""
    with tarfile.open(path, f"w:{path.suffix[1:]}".replace(":tar", ":")) as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def unpacked(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("ending", ["bz2", "xz", "gz", "tar"])
def test_tables_of_musicbrainz_are_read_out_of_their_archive(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = packed(tmp_path / f"mbdump-derived.tar.{ending}".replace("tar.tar", "tar"), TABLES)
    with caplog.at_level(logging.WARNING):
        assert pairs_of(fs.read_tags(path)) == BY_NUMBER
    assert "rows left out: 2 (MusicBrainz' users voted the tag down" in caplog.text
    assert "for their MBIDs put mbdump.tar.bz2 beside it" in caplog.text
    packed(tmp_path / "mbdump.tar.bz2", MAIN)
    assert pairs_of(fs.read_tags(path)) == BY_MBID
    assert pairs_of(fs.read_tags(path, min_weight=3)) == {
        pair: weight for pair, weight in BY_MBID.items() if weight > 3
    }
    assert read_artists(path) == {SOUR_TIMES: "65", BLUE_ANGEL: "11"}


def test_tables_of_musicbrainz_are_read_from_a_folder(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "dump", TABLES | MAIN)
    assert pairs_of(fs.read_tags(folder)) == pairs_of(fs.read_tags(folder / "mbdump")) == BY_MBID
    (folder / "mbdump" / "recording_tag").unlink()  # the next nearest to a track
    assert pairs_of(fs.read_tags(folder)) == {("1", "trip hop"): 3}
    (folder / "mbdump" / "release_group_tag").unlink()
    assert pairs_of(fs.read_tags(folder)) == {(PORTISHEAD, "trip hop"): 12}
    (folder / "mbdump" / "tag").unlink()
    with pytest.raises(FileFormatError, match="artist_tag is there, but not the table 'tag'"):
        fs.read_tags(folder, format="dumps")
    (folder / "mbdump" / "tag").write_text("7\ttrip hop\t3\n8\n")
    with pytest.raises(FileFormatError, match=r"line 2 of the table 'tag' is no row"):
        fs.read_tags(folder)


def test_json_of_musicbrainz_has_a_record_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    credit = [
        {
            "name": "Portishead",
            "joinphrase": "",
            "artist": {"id": PORTISHEAD, "tags": [{"name": "x", "count": 9}]},
        }
    ]
    lines = [
        {"id": "48140466", "title": "Dummy", "artist-credit": credit,
         "tags": [{"count": 17, "name": "trip hop"}, {"name": "british", "count": 1}, {"name": "pop", "count": -2}],
         "genres": [{"count": 17, "name": "trip hop", "id": "45eb1d9c"}]},
        {"id": "c6fe6a2b", "title": "Hot", "tags": [], "genres": [], "artist-credit": credit},
        {"id": "d0", "tags": [{"count": 1}]},
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path = packed(tmp_path / "release-group.tar.xz", {"COPYING": "CC0", "mbdump/release-group": text})
    expected = {("48140466", "trip hop"): 17, ("48140466", "british"): 1}
    with caplog.at_level(logging.WARNING):
        assert pairs_of(fs.read_tags(path)) == expected
    assert "1 (the record or tag is not as its database writes it)" in caplog.text
    assert read_artists(path) == {"48140466": PORTISHEAD}
    (tmp_path / "release-group").write_text(text)
    assert pairs_of(fs.read_tags(tmp_path / "release-group")) == expected
    (tmp_path / "answer.json").write_text(json.dumps({"count": 1, "recordings": lines[:1]}, indent=1))
    assert pairs_of(fs.read_tags(tmp_path / "answer.json")) == expected  # of the web service


LISTENBRAINZ = {
    SOUR_TIMES: {
        "artist": {"artist_credit_id": 65, "artists": [{"artist_mbid": PORTISHEAD, "name": "Portishead"}], "name": "P"},
        "recording": {"length": 253960, "name": "Sour Times", "rels": []},
        "tag": {
            "artist": [{"artist_mbid": PORTISHEAD, "count": 3, "tag": "british"}],
            "recording": [{"count": 10, "genre_mbid": "45eb1d9c", "tag": "trip hop"}, {"count": 4, "tag": "trip-hop"}],
            "release_group": [{"count": 7, "tag": "trip-hop"}],
        },
    },
    BLUE_ANGEL: {
        "artist": {"artists": [{"artist_mbid": ZIPPERS}]},
        "tag": {"artist": [], "recording": [{"count": 6, "genre_mbid": "a715278f", "tag": "jazz"}]},
    },
}  # fmt: skip


def test_listenbrainz_says_what_a_recording_is_tagged(tmp_path: Path) -> None:
    expected = {(SOUR_TIMES, "trip hop"): 10, (SOUR_TIMES, "trip-hop"): 4, (BLUE_ANGEL, "jazz"): 6}
    path = tmp_path / "recordings.json"
    path.write_text(json.dumps(LISTENBRAINZ))
    assert pairs_of(fs.read_tags(path)) == expected
    assert read_artists(path) == {SOUR_TIMES: PORTISHEAD, BLUE_ANGEL: ZIPPERS}
    lookups = [
        {"artist_credit_name": "P", "recording_mbid": mbid, "metadata": record} for mbid, record in LISTENBRAINZ.items()
    ]  # fmt: skip
    path.write_text("\n\n".join(map(json.dumps, lookups)))
    assert pairs_of(fs.read_tags(path)) == expected
    artists = [{"artist_mbid": PORTISHEAD, "name": "P", "tag": {"artist": [{"count": 18, "tag": "rock"}]}}]
    path.write_text(json.dumps(artists, indent=2))
    assert pairs_of(fs.read_tags(path)) == {(PORTISHEAD, "rock"): 18}


def acousticbrainz(mbid: str, genre: str, probability: float) -> dict:
    return {
        "highlevel": {
            "genre_dortmund": {"all": {"electronic": 0.9, "rock": 0.1}, "probability": probability, "value": genre},
            "mood_happy": {"all": {"happy": 0.25, "not_happy": 0.75}, "probability": 0.75, "value": "not_happy"},
        },
        "metadata": {
            "audio_properties": {"length": 240.5},
            "tags": {"artist": ["Autechre"], "genre": ["IDM"], "musicbrainz_recordingid": [mbid]},
        },
    }  # fmt: skip


def test_acousticbrainz_is_read_as_files_archives_and_answers(tmp_path: Path) -> None:
    a, b = "0e11c0fd-a1da-4b88-a438-7ef55c5809ec", "0e22c0fd-a1da-4b88-a438-7ef55c5809ec"
    root = "acousticbrainz-highlevel-json-20220623/highlevel/0e"
    files = {
        f"{root}/1/{a}-0.json": json.dumps(acousticbrainz(a, "electronic", 0.5)),
        f"{root}/2/{b}-1.json": json.dumps(
            {"highlevel": acousticbrainz(b, "rock", 0.875)["highlevel"], "metadata": {}}
        ),
    }  # fmt: skip
    expected = {
        (a, "genre---IDM"): 1, (a, "genre_dortmund---electronic"): 0.5, (a, "mood_happy---not_happy"): 0.75,
        (b, "genre_dortmund---rock"): 0.875, (b, "mood_happy---not_happy"): 0.75,
    }  # fmt: skip
    folder = unpacked(tmp_path / "highlevel", files)
    assert pairs_of(fs.read_tags(folder)) == expected
    assert pairs_of(fs.read_tags(packed(tmp_path / "highlevel.tar.bz2", files))) == expected
    assert read_artists(tmp_path / "highlevel.tar.bz2") == {a: "Autechre"}
    answer = {a: {"0": acousticbrainz(a, "electronic", 0.5)}, "mbid_mapping": {a.upper(): a}}
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    assert pairs_of(fs.read_tags(tmp_path / "answer.json")) == {
        pair: weight for pair, weight in expected.items() if pair[0] == a
    }
    done = CliRunner().invoke(
        main, ["tags", "import", str(folder), str(tmp_path / "genres.db"), "--category", "genre"]
    )
    assert done.exit_code == 0, done.output
    assert pairs_of(fs.read_tags(tmp_path / "genres.db")) == {(a, "IDM"): 1}


def test_archives_of_zstd_are_read_or_it_is_said_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zstd = pytest.importorskip("backports.zstd", reason="backports.zstd is not installed")
    plain = packed(tmp_path / "ab.tar", {"a-0.json": json.dumps(acousticbrainz("a", "rock", 0.5))})
    (tmp_path / "ab.tar.zst").write_bytes(zstd.compress(plain.read_bytes()))
    assert pairs_of(fs.read_tags(tmp_path / "ab.tar.zst")) == pairs_of(fs.read_tags(plain))
    monkeypatch.setattr(
        "folksong.tags.sources.streams.import_module", lambda name: __import__("no_such_module")
    )
    with pytest.raises(FileFormatError, match=r"zstd: pip install backports\.zstd, or decompress"):
        fs.read_tags(tmp_path / "ab.tar.zst")


def test_last_fm_of_the_million_song_dataset_is_a_zip_of_json(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lastfm_train.zip", "w") as archive:
        for track, tags in (
            ("TRAAAAW128F429D538", [["rock", "100"], ["indie", "0"]]),
            ("TRAAABD128F429CF47", []),
        ):
            record = {
                "artist": "A",
                "timestamp": STAMP,
                "similars": [["TRZ", 0.9]],
                "tags": tags,
                "title": "T",
            }
            archive.writestr(f"lastfm_train/A/A/A/{track}.json", json.dumps(record))
    table = fs.read_tags(tmp_path / "lastfm_train.zip")
    assert pairs_of(table) == {("TRAAAAW128F429D538", "rock"): 100, ("TRAAAAW128F429D538", "indie"): 0}


MASTERS = """<masters>
<master id="18500"><main_release>155102</main_release><images><image height="588" type="primary" uri=""/></images>
<artists><artist><id>212070</id><name>Samuel L Session</name><anv>Samuel L</anv><join></join></artist>
<artist><id>2</id><name>Other</name></artist></artists>
<genres><genre>Electronic</genre><genre>Folk, World, &amp; Country</genre></genres>
<styles><style>Techno</style></styles>
<year>2001</year><title>New Soil</title><videos><video duration="489" embed="true" src=""><title>x</title></video>
</videos>
</master>
<master id="18512"><artists><artist><name>Ünbekannt</name></artist></artists><genres><genre>Rock</genre></genres>
<styles/><title>The &lt;genre&gt;</title></master>
</masters>"""


def test_discogs_says_genres_and_styles_of_masters_and_releases(tmp_path: Path) -> None:
    path = tmp_path / "discogs_20260101_masters.xml.gz"
    path.write_bytes(gzip.compress(MASTERS.encode()))
    expected = {
        ("18500", "Electronic"): 1, ("18500", "Folk, World, & Country"): 1, ("18500", "Techno"): 1,
        ("18512", "Rock"): 1,
    }  # fmt: skip
    assert pairs_of(fs.read_tags(path)) == expected
    assert read_artists(path) == {"18500": "212070", "18512": "Ünbekannt"}
    out = tmp_path / "discogs.split.json"
    done = CliRunner().invoke(
        main, ["split", str(path), str(out), "--artists", str(path), "--fractions", "50", "0", "50"]
    )
    assert done.exit_code == 0, done.output
    assert "by artist" in done.output
    releases = MASTERS.replace("master", "release").replace(
        "<title>New Soil</title>",
        "<tracklist><track><title>A</title><artists><artist><id>9</id></artist></artists></track></tracklist>",
    )
    path = tmp_path / "discogs_20260101_releases.xml"
    path.write_text(releases, encoding="utf-8")
    assert pairs_of(fs.read_tags(path)) == expected
    assert read_artists(path)["18500"] == "212070"


def test_a_dump_that_expands_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "masters.xml"
    path.write_text('<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">]>' + MASTERS.replace("Rock", "&a;"))
    with pytest.raises(FileFormatError, match=r"masters\.xml: declares entities"):
        fs.read_tags(path)


def test_a_dump_cut_anywhere_is_named_and_never_read_in_part(tmp_path: Path) -> None:
    archive = packed(tmp_path / "mbdump-derived.tar.bz2", TABLES).read_bytes()
    lines = "".join(
        json.dumps({"id": str(n), "tags": [{"name": f"t{n}", "count": n + 1}]}) + "\n" for n in range(300)
    )
    whole = {
        "a.tar.bz2": archive,
        "b.xml.gz": gzip.compress(MASTERS.encode()),
        "c.json.xz": lzma.compress(lines.encode()),
        "d.xml": MASTERS.encode(),
        "e.json.bz2": bz2.compress(lines.encode()),
    }
    for name, content in whole.items():
        for share in (0.3, 0.6, 0.9, 0.99):
            path = tmp_path / name
            path.write_bytes(content[: int(len(content) * share)])
            with pytest.raises(FileFormatError, match=rf"{name}: (damaged|a damaged)"):
                fs.read_tags(path, format="dumps")
    (tmp_path / "f.json").write_text(lines + '{"id": "cut", "ta')
    with pytest.raises(FileFormatError, match=r"f\.json: damaged or cut short after 300 records"):
        fs.read_tags(tmp_path / "f.json")


def test_a_dump_changed_anywhere_is_read_or_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    records = [
        {"id": "a", "tags": [{"name": "rock", "count": 3}], "artist-credit": [{"artist": {"id": "x"}}]}
    ] * 3
    wholes = {
        "lines.json": "".join(json.dumps(record) + "\n" for record in records).encode(),
        "listenbrainz.json": json.dumps(LISTENBRAINZ).encode(),
        "acousticbrainz.json": json.dumps(acousticbrainz("a", "rock", 0.5)).encode(),
        "masters.xml": MASTERS.encode(),
        "tables.tar.bz2": packed(tmp_path / "tables.tar.bz2", TABLES).read_bytes(),
        "tables.tar": packed(tmp_path / "tables.tar", TABLES).read_bytes(),
    }
    n_read = 0
    for name, whole in wholes.items():
        for _ in range(60):
            content = bytearray(whole)
            for place in random.integers(0, len(content), random.integers(1, 4)):
                content[place] = random.integers(0, 256)
            (tmp_path / name).write_bytes(content)
            with suppress(FolksongError):
                n_read += fs.read_tags(tmp_path / name, format="dumps").n_counts > 0
    assert n_read > 20


@pytest.mark.parametrize(
    "tags",
    [
        [{"name": 5, "count": 1}], [{"name": "a", "count": "1"}], [{"name": None}], [[]], [["a", "much"]], [None],
        [{"name": "a", "count": 10**400}], [{"name": "a", "count": "4"}], [{"name": "ro\ud800ck", "count": 2}],
    ],
)  # fmt: skip
def test_records_of_other_shapes_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tags: list
) -> None:
    good = {"id": "b", "tags": [{"name": "rock", "count": 2}, {"name": " ", "count": 1}]}
    (tmp_path / "x.json").write_text(json.dumps({"id": "a", "tags": tags}) + "\n" + json.dumps(good) + "\n")
    with caplog.at_level(logging.WARNING):
        assert pairs_of(fs.read_tags(tmp_path / "x.json")) == {("b", "rock"): 2}
    assert "1 (the record or tag is not as its database writes it)" in caplog.text


def test_json_of_other_kinds_is_no_dump(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(
        '{"name": "folksong", "version": 1, "deep": {"a": {"b": {"c": [{"tags": [1]}]}}}}'
    )
    with pytest.raises(
        FileFormatError, match=r"x\.json: no tags found; a dump is JSON, XML or tables of MusicBrainz"
    ):
        fs.read_tags(tmp_path / "x.json")
    with zipfile.ZipFile(tmp_path / "tags.xlsx", "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(
        FileFormatError, match=r"tags\.xlsx: not a table of tags, but a zip archive: a workbook"
    ):
        fs.read_tags(tmp_path / "tags.xlsx")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(FileFormatError, match=r"deep\.json"):
        fs.read_tags(tmp_path / "deep.json", format="dumps")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "Flute").mkdir()
    (tmp_path / "library" / "Flute" / "a.ogg").touch()
    (tmp_path / "library" / "info.json").write_text('{"tags": []}')
    assert fs.read_tags(tmp_path / "library").tags.tolist() == [
        "Flute"
    ]  # recordings beside JSON: class folders


GROUND_TRUTH = """recordingmbid\treleasegroupmbid\tgenre1\tgenre2\tgenre3\tgenre4
6bb7e980-791c-44b5-9024-cc7c90bc8230\t969ebfe8-0786-3ee0-b49b-3005fe653aa4\tmetal\tmetal---heavymetal\trock\trock---progressiverock
c7bee376-0020-461a-90a7-d5af73cfff05\t6e652b2f-6f94-47ef-834a-a85d25921fce\tsoul
93597a3e-cdca-4123-bcf5-343ff8debbe2\t47de1259-bdeb-3f11-b612-4976887dca5c\tpop\tpop---ballad\t\t
"""


@pytest.mark.parametrize("name", ["tagtraum-train.tsv", "tagtraum-train.tsv.bz2"])
def test_the_ground_truth_of_the_acousticbrainz_genre_dataset_is_read(tmp_path: Path, name: str) -> None:
    data = GROUND_TRUTH.encode()
    (tmp_path / name).write_bytes(bz2.compress(data) if name.endswith("bz2") else data)
    table = fs.read_tags(tmp_path / name)
    assert {track[:2]: sorted(tag for tag, _ in table.tags_of(track)) for track in table.track_ids} == {
        "6b": ["metal", "metal---heavymetal", "rock", "rock---progressiverock"],
        "c7": ["soul"],
        "93": ["pop", "pop---ballad"],
    }


HIGHLEVEL = {"genre_dortmund": {"value": "rock", "probability": 0.5}, "mood_happy": {"value": "happy"}}
ROCK = {("i", "rock"): 2.0}
ROCK_LINE = '{"id": "i", "tags": [{"name": "rock", "count": 2}]}\n'
VOTED, STRANGE = "voted the tag down: its count is 0 or less", "not as its database writes it"
TAG_TABLE = "7\ttrip hop\t3\n"


@pytest.mark.parametrize(
    ("files", "expected", "said"),
    [
        ({"a.json": ROCK_LINE + "[]\nnull\n{}\n"}, ROCK, f"3 (the record or tag is {STRANGE})"),
        ({"a.json": "[]\n" + ROCK_LINE}, ROCK, f"1 (the record or tag is {STRANGE})"),
        ({"a.json": "\ufeff" + ROCK_LINE}, ROCK, ""),
        ({"a.json": ROCK_LINE, "b.json": "", "c.json": "\0" * 600, "d.zip": "PK\3\4"}, ROCK, "3 (neither JSON"),
        ({"a.json": ROCK_LINE.replace("2}", '2}, {"name": " ", "count": 1}')}, ROCK, "1 (the tag is empty)"),
        ({"a.json": ROCK_LINE, "._a.json": "\0"}, ROCK, ""),
        ({"a.json": ROCK_LINE + ROCK_LINE.replace('"i"', "null") + ROCK_LINE.replace('"id": "i", ', "")}, ROCK,
         "2 (the record has no id)"),
        ({"a.json": ROCK_LINE + ROCK_LINE.replace('"i"', '["l"]')}, ROCK, f"1 (the record or tag is {STRANGE})"),
        ({"a.json": ROCK_LINE.replace('"i"', "12")}, {("12", "rock"): 2.0}, ""),
        ({"a.json": '{"recordings": [{"tags": [{"name": "x", "count": 1}]}]}\n' + ROCK_LINE}, ROCK,
         "1 (the record has no id)"),
        ({f"{SOUR_TIMES}-0.json": ROCK_LINE.replace('"id": "i", ', "")}, {(SOUR_TIMES, "rock"): 2.0}, ""),
        ({"a.json": ROCK_LINE.replace("2}", '2}, {"name": "x", "count": NaN}, {"name": "y", "count": Infinity}')}, ROCK,
         "2 (the weight is not a number)"),
        ({"a.json": '{"track_id": "i", "tags": [["rock", "2"], ["x", "-5"]]}'}, ROCK, "1 (the weight is negative)"),
        ({f"{SOUR_TIMES}-0.json": json.dumps({"metadata": {"tags": {"genre": "Pop"}}, "highlevel": HIGHLEVEL})},
         {(SOUR_TIMES, "genre---Pop"): 1.0, (SOUR_TIMES, "genre_dortmund---rock"): 0.5},
         f"1 (the record or tag is {STRANGE})"),
        ({f"{SOUR_TIMES}-0.json": json.dumps({"metadata": {"tags": {"genre": "Pop"}}})},
         {(SOUR_TIMES, "genre---Pop"): 1.0}, ""),
        ({"a.xml": MASTERS.replace(' id="18500"', ""),
          "b_artists.xml": "<artists><artist><id>1</id></artist></artists>"},
         {("18512", "Rock"): 1.0}, "1 (the record has no id), 1 (XML without genres"),
        ({"recording_tag": "3\t7\t10\t\n3\t999\t4\t\n3\t8\t4\t\n3\t7\t\\N\t\n", "tag": TAG_TABLE + "8\t\\N\t1\n"},
         {("3", "trip hop"): 10.0}, "1 (its number is missing), 2 (its tag has no name in the table 'tag')"),
        ({"recording_tag": "3\t7\t10\t\n999\t7\t4\t\n", "tag": TAG_TABLE, "recording": MAIN["mbdump/recording"]},
         {(SOUR_TIMES, "trip hop"): 10.0}, "1 (its recording is not in the table 'recording')"),
        ({"recording_tag": "", "release_group_tag": "1\t7\t3\t\n", "tag": TAG_TABLE}, {("1", "trip hop"): 3.0},
         "for their MBIDs"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_counted_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: dict[str, str], expected: dict, said: str
) -> None:
    path = packed(tmp_path / "dump.tar.gz", files)
    with caplog.at_level(logging.WARNING):
        assert pairs_of(fs.read_tags(path)) == expected
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)


ROW_TAGS = {"recording_tag": "3\t7\t10\t\n", "tag": TAG_TABLE}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "[" * 10_000 + "]" * 10_000, r"a\.json: nested too deeply"),
        ("a.json", '{"a":' * 10_000 + "1" + "}" * 10_000, r"a\.json: nested too deeply"),
        ("a.xml", "<masters><master id='1'>" + "<a>" * 400_000, "more than 100 elements within each other"),
        ("a.xml", "<!DOCTYPE m [" + " " * 50_000 + "]>" + MASTERS.replace("genre>", "x>").replace("style>", "x>"),
         "no tags found"),
        ("a.xml", "<rss><channel/></rss>", r"no tags found.* 1 \(XML without genres: take Discogs' masters"),
        ("a.json", ROCK_LINE.replace("2", "-2"),
         rf"no tags found, all rows were left out: 1 \(MusicBrainz' users {VOTED}"),
        ("a.tar.gz", {"recording_tag": "3\t7\tx\t\n", "tag": TAG_TABLE},
         "line 1 of the table 'recording_tag' is no row"),
        ("a.tar.gz", {"recording_tag": f"3\t7\t{10**20}\t\n", "tag": TAG_TABLE},
         "line 1 of the table 'recording_tag' is no row"),
        ("a.tar.gz", {**ROW_TAGS, "old/recording_tag": "3"}, r"a\.tar\.gz: the table 'recording_tag' is there twice"),
        ("a.tar.gz", {"tag": TAG_TABLE * 9, "recording_tag": "3"}, "cut short after 9 records"),
        ("a.csv", "\0" * 10_240, "begins with zeros"),
        ("a.zip", "PK\x03\x04cut", r"a\.zip: damaged or cut short"),
        ("a.zip", "PK\x05\x06" + "\0" * 18, "an empty zip archive"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_dump_is_named(
    tmp_path: Path, name: str, content: str | dict, said: str
) -> None:
    if isinstance(content, str):
        (tmp_path / name).write_text(content, encoding="utf-8")
    else:
        packed(tmp_path / name, content)
    with pytest.raises(FileFormatError, match=said) as raised:
        fs.read_tags(tmp_path / name)
    assert ("fetch it again" in str(raised.value)) == ("damaged" in str(raised.value))


def test_a_line_a_record_or_a_table_without_end_is_never_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("streams", "records"):
        monkeypatch.setattr(f"folksong.tags.sources.{module}.MOST_RECORD_BYTES", 1 << 20)
    long = "x" * (2 << 20)
    for name, files in {
        "line.tar.gz": {"a.json": ROCK_LINE + '{"id": "' + long},
        "first.tar.gz": {"a.json": '{"id": "' + long},
        "value.tar.gz": {"a.json": '{"id":\n"' + long},
        "row.tar.gz": {"tag": TAG_TABLE, "recording_tag": "\0" * (2 << 20)},
        "text.tar.gz": {"a.xml": "<masters><master id='1'><genres><genre>" + long},
        "token.tar.gz": {"a.xml": "<masters><master id='" + long},
    }.items():
        with pytest.raises(FileFormatError, match=rf"{name}: .*(longer|more) than 1 MiB"):
            fs.read_tags(packed(tmp_path / name, files))


def test_utf_16_is_read_where_the_file_says_so_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(ROCK_LINE, encoding="utf-16")
    with pytest.raises(FileFormatError, match=r"a\.json is UTF-16; write it as UTF-8"):
        fs.read_tags(tmp_path / "a.json")
    (tmp_path / "a.xml").write_text(MASTERS, encoding="utf-16")
    assert fs.read_tags(tmp_path / "a.xml").track_ids.tolist() == ["18500", "18512"]


def test_a_zip_with_a_password_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.json", ROCK_LINE)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + place] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"a\.zip: a\.json is locked by a password"):
        fs.read_tags(tmp_path / "a.zip")


def test_of_two_archives_the_damaged_one_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    derived = packed(tmp_path / "mbdump-derived.tar.bz2", TABLES)
    main_dump = packed(tmp_path / "mbdump.tar.bz2", MAIN)
    whole = main_dump.read_bytes()
    assert pairs_of(fs.read_tags(tmp_path)) == BY_MBID  # a folder of both
    unpacked(tmp_path / "old", {"mbdump/tag": TABLES["mbdump/tag"]})
    with pytest.raises(
        FileFormatError, match=r"the table 'tag' is there twice: .*mbdump-derived.*, tag in .*old"
    ):
        fs.read_tags(tmp_path)
    (tmp_path / "old" / "mbdump" / "tag").unlink()
    assert pairs_of(fs.read_tags(packed(tmp_path.parent / "all.tar.bz2", TABLES | MAIN))) == BY_MBID
    assert "for their MBIDs" not in caplog.text
    main_dump.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=r"[/\\]mbdump\.tar\.bz2: damaged"):
        fs.read_tags(derived)
    with pytest.raises(FileFormatError, match=r"[/\\]mbdump\.tar\.bz2: damaged"):
        fs.read_tags(tmp_path)
    main_dump.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert pairs_of(fs.read_tags(derived)) == BY_NUMBER
    assert "mbdump.tar.bz2 has no table 'recording'" in caplog.text


def test_where_a_table_cannot_go_is_said_before_the_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("cut {")
    (tmp_path / "file").touch()
    for out, said in (("out.json", "the name must end in .csv"), ("file/out.csv", "no folder that you may")):
        done = CliRunner().invoke(main, ["tags", "import", str(tmp_path / "a.json"), str(tmp_path / out)])
        assert said in done.output
