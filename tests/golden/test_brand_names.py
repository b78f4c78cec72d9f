"""Frozen answers: how names are folded, spelled and merged. A change here renames brands in users' results: make it knowingly."""

import pytest

from vision.library.names import Titles, canonical, curated_aliases, fold, is_kin, slugify, spell, strip_variant

FOLDED = {
    "Coca-Cola": ("cocacola", "coca-cola"),
    "COCA COLA": ("cocacola", "coca-cola"),
    "Häagen-Dazs": ("haagendazs", "haagen-dazs"),
    "Škoda": ("skoda", "skoda"),
    "Citroën": ("citroen", "citroen"),
    "M&M's": ("mandms", "mandms"),
    "AT&T": ("atandt", "atandt"),
    "C++": ("cplusplus", "cplusplus"),
    "C#": ("csharp", "csharp"),
    "C": ("c", "c"),
    "Node.js": ("nodejs", "node-js"),
    "361°": ("361", "361"),
    "Ørsted": ("orsted", "orsted"),
    "Straße": ("strasse", "strasse"),
    "İstanbul": ("istanbul", "istanbul"),
    "ＦＵＬＬ　ＷＩＤＴＨ": ("fullwidth", "full-width"),
    "小米": ("小米", "小米"),
    "  The   North Face ": ("thenorthface", "the-north-face"),
    "!?": ("", ""),
}


@pytest.mark.parametrize("name", FOLDED)
def test_names_fold_and_slug_as_frozen(name):
    assert (fold(name), slugify(name)) == FOLDED[name]
    assert slugify(name).replace("-", "") == fold(name)


@pytest.mark.parametrize(
    ("slug", "base"),
    [
        ("google-2014", "google"),
        ("google-icon", "google"),
        ("google-drive-2020", "google-drive"),
        ("resend-icon-dark", "resend"),
        ("nodejs-icon-alt", "nodejs"),
        ("square", "square"),
        ("mono", "mono"),
        ("area-51", "area-51"),
        ("t3", "t3"),
    ],
)
def test_endings_that_name_a_version_of_the_artwork_are_cut(slug, base):
    assert strip_variant(slug) == base


def test_slugs_take_the_title_they_agree_with():
    titles = Titles(
        [
            ("Node.js", ["nodedotjs"]),
            ("Vue.js", []),
            ("Vite", []),
            ("Nim", []),
            ("X", ["Twitter"]),
            (".NET", ["dotnet"]),
        ]
    )
    names = (
        "nodejs-icon",
        "vue",
        "vitejs-icon",
        "nim-lang",
        "twitter",
        "dotnet",
        "google-2014",
        "game-analytics",
        "aws-s3",
    )
    assert [titles.name(n) for n in names] == [
        *("Node.js", "Vue.js", "Vite", "Nim", "X", ".NET", "Google", "Game Analytics", "AWS S3"),
    ]
    assert spell("launchdarkly") == "LaunchDarkly"


@pytest.mark.parametrize(
    ("other", "brand"),
    [
        ("Hewlett-Packard", "HP"),
        ("vw", "Volkswagen"),
        ("google-2014", "Google"),
        ("Google Drive", "Google Drive"),
        ("Mercedes", "Mercedes-Benz"),
        ("North Face", "The North Face"),
        ("Beats by Dre", "Beats"),
        ("Nobody Knows It", "Nobody Knows It"),
    ],
)
def test_other_spellings_lead_to_one_brand_and_products_stay_apart(other, brand):
    assert canonical(other) == brand


def test_aliases_that_people_see_hold_no_slugs():
    assert curated_aliases("HP") == ("Hewlett-Packard", "Hewlett Packard")
    assert curated_aliases("Google") == ()


def test_kin_begin_with_the_brand_as_whole_words():
    assert is_kin("Google Drive", "Google")
    assert is_kin("Red Bull Racing", "Red Bull")
    assert is_kin("google", "Google")
    assert not is_kin("Fordham", "Ford")
    assert not is_kin("Google", "Google Drive")
