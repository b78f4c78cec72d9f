"""Laws of clusters: copies are together, chains are not followed, and the order in which anything came changes nothing."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.copies.clusters import Cluster, Member, group, owner_groups


def pictures(count, owner=None):
    return [
        Member(f"p{number:04}", f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z", owner) for number in range(count)
    ]


def claims(pairs, probability=0.99):
    return [(f"p{a:04}", f"p{b:04}", probability) for a, b in pairs]


def numbers(grouping):
    return [[int(member.id[1:]) for member in cluster.members] for cluster in grouping.clusters]


def every_pair(numbers):
    return list(itertools.combinations(numbers, 2))


def test_copies_that_all_claim_each_other_are_one_cluster():
    assert numbers(group(pictures(6), claims([*every_pair([0, 2, 4]), (1, 5)]))) == [[0, 2, 4], [1, 5]]


def test_no_claim_no_cluster():
    grouping = group(pictures(3), [])
    assert (grouping.clusters, grouping.between) == ((), ())


def test_two_crops_that_share_nothing_stay_with_their_original():
    assert numbers(group(pictures(3), claims([(0, 1), (0, 2)]))) == [[0, 1, 2]]


def test_followers_join_what_they_claim_and_tie_nothing():
    core, other = range(4), range(4, 6)
    crowd = [f"p{n:04}" for n in range(6, 40)]
    pairs = [*every_pair(core), *every_pair(other), *((n, c) for n in range(6, 40) for c in core), (6, 4), (6, 5)]
    grouping = group(pictures(40), claims(pairs), followers=set(crowd))
    assert numbers(grouping) == [[*core, *range(6, 40)], [*other]]
    assert [(a, b) for a, b, _ in grouping.between] == [("p0004", "p0006"), ("p0005", "p0006")]


def test_a_follower_whose_claims_are_scattered_or_denied_is_in_no_cluster():
    pairs = [(0, 1), (2, 3), (4, 5), *((6, n) for n in (0, 2, 4))]
    assert numbers(group(pictures(7), claims(pairs), followers={"p0006"})) == [[0, 1], [2, 3], [4, 5]]
    pairs = [(0, 1), (2, 0), (2, 1)]
    denied = [("p0001", "p0002")]
    assert numbers(group(pictures(3), claims(pairs), denied=denied, followers={"p0002"})) == [[0, 1]]


def test_the_earliest_of_a_crowd_is_its_original_even_where_it_follows():
    pairs = [*every_pair([1, 2, 3]), *((0, n) for n in (1, 2, 3)), *((4, n) for n in (1, 2, 3))]
    assert numbers(group(pictures(5), claims(pairs), followers={"p0000", "p0004"})) == [[0, 1, 2, 3, 4]]


def test_a_chain_of_hundreds_is_cut_into_pieces():
    chain = [(n, n + 1) for n in range(299)]
    grouping = group(pictures(300), claims(chain))
    assert max(len(cluster.members) for cluster in grouping.clusters) <= 3
    kept = sum(len(cluster.members) - 1 for cluster in grouping.clusters)
    assert kept + len(grouping.between) == len(chain)


def test_a_collage_does_not_glue_the_copies_of_its_pictures():
    first, second, collage = range(5), range(5, 10), 10
    pairs = [*every_pair(first), *every_pair(second), *((n, collage) for n in range(10))]
    grouping = group(pictures(11), claims(pairs))
    assert sorted(map(len, numbers(grouping))) == [5, 6]
    assert {len({n // 5 for n in part if n != collage}) for part in numbers(grouping)} == {1}
    assert len(grouping.between) == 5


def test_strong_edits_that_do_not_find_each_other_stay_with_the_copies_that_do():
    mild, strong = range(8), range(8, 12)
    assert numbers(group(pictures(12), claims([*every_pair(mild), *itertools.product(mild, strong)]))) == [[*range(12)]]


def test_a_cluster_holds_when_a_quarter_of_its_claims_is_missed():
    missed = random.Random(3)
    pairs = [pair for pair in every_pair(range(40)) if missed.random() > 0.25]
    assert numbers(group(pictures(40), claims(pairs))) == [[*range(40)]]


def test_the_surest_of_equals_is_joined_first():
    sure, less = claims([(0, 1), (2, 3)], 0.99), claims([(1, 2)], 0.9)
    assert numbers(group(pictures(4), less + sure)) == [[0, 1], [2, 3]]
    assert group(pictures(4), less + sure).between == tuple(less)


graphs = st.integers(2, 12).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.tuples(st.integers(0, count - 1), st.integers(0, count - 1), st.sampled_from([0.5, 0.9, 0.99, 1.0])),
            max_size=40,
        ),
        st.randoms(use_true_random=False),
    )
)


@given(graphs)
def test_the_order_of_pictures_and_claims_and_of_the_two_in_a_claim_changes_nothing(graph):
    count, pairs, chance = graph
    known = pictures(count)
    given_claims = [(f"p{a:04}", f"p{b:04}", probability) for a, b, probability in pairs]
    shuffled = [(b, a, p) if chance.random() < 0.5 else (a, b, p) for a, b, p in given_claims]
    chance.shuffle(shuffled)
    others = chance.sample(known, count)
    assert group(known, given_claims) == group(others, shuffled + shuffled[:3])


@given(graphs)
def test_every_cluster_is_tied_by_claims_and_every_claim_is_in_one_or_between_two(graph):
    count, pairs, _ = graph
    grouping = group(pictures(count), [(f"p{a:04}", f"p{b:04}", p) for a, b, p in pairs])
    different = {tuple(sorted((a, b))) for a, b, _ in pairs if a != b}
    between = {(int(a[1:]), int(b[1:])) for a, b, _ in grouping.between}
    where = {n: number for number, part in enumerate(numbers(grouping)) for n in part}
    assert len(where) == sum(map(len, numbers(grouping)))
    for a, b in different:
        assert ((a, b) in between) == (where.get(a, -1 - a) != where.get(b, -1 - b))
    for part in numbers(grouping):
        inside = [pair for pair in different if set(pair) <= set(part)]
        # n pictures are joined in n - 1 steps, each of which found at least half of its pairs claimed
        assert len(part) - 1 <= len(inside)
        assert len(inside) >= len(every_pair(part)) / 2


def test_the_presumed_original_is_the_earliest_whatever_its_time_zone():
    times = {
        "late": "2026-01-02T00:00:00Z",
        "unknown": None,
        "early": "2026-01-02T00:30:00+02:00",
        "naive": "2026-01-01T23:00:00",
    }
    known = [Member(id, time) for id, time in times.items()]
    (cluster,) = group(known, [(a, b, 1.0) for a, b in every_pair(times)]).clusters
    assert [member.id for member in cluster.members] == ["early", "naive", "late", "unknown"]
    assert cluster.original.id == "early"


def test_of_pictures_of_one_time_the_first_id_is_the_original():
    known = [Member(id, "2026-01-01") for id in "bca"]
    (cluster,) = group(known, [(a, b, 1.0) for a, b in every_pair("abc")]).clusters
    assert [member.id for member in cluster.members] == ["a", "b", "c"]


def test_denied_pairs_are_never_together_whoever_ties_them():
    pairs = claims(every_pair(range(6)))
    grouping = group(
        pictures(6), [pair for pair in pairs if pair[:2] != ("p0000", "p0005")], denied=[("p0005", "p0000")]
    )
    assert all(not {0, 5} <= set(part) for part in numbers(grouping))
    assert sum(map(len, numbers(grouping))) == 6


def test_confirmed_pairs_are_together_even_at_the_ends_of_a_chain():
    chain = claims([(0, 1), (1, 2), (2, 3)])
    assert numbers(group(pictures(4), chain)) == [[0, 1], [2, 3]]
    assert [0, 3] in numbers(group(pictures(4), [], confirmed=[("p0003", "p0000")]))
    assert numbers(group(pictures(4), chain, confirmed=[("p0003", "p0000")])) == [[0, 1, 2, 3]]
    assert numbers(group(pictures(4), [], confirmed=[("p0003", "p0000")], denied=[("p0003", "p0000")])) == []


@pytest.mark.parametrize(
    ("known", "claimed"),
    [
        ([Member("a")], [("a", "b", 1.0)]),
        ([Member("a"), Member("a")], []),
        ([Member("a"), Member("b")], [("a", "b", 1.5)]),
    ],
)
def test_what_makes_no_sense_is_refused(known, claimed):
    with pytest.raises(ValueError, match=r"id|probability"):
        group(known, claimed)


def shared_by(*owners):
    shared_by.made += 1
    return Cluster(tuple(Member(f"{shared_by.made}-{owner}", None, owner) for owner in owners))


shared_by.made = 0


def test_owners_who_share_pictures_are_a_group_with_what_they_share():
    clusters = [
        shared_by("a", "b", "c"),
        shared_by("a", "b"),
        shared_by("c", "b", "a"),
        shared_by("d", "e"),
        shared_by("f"),
    ]
    (found,) = owner_groups(clusters)
    assert found.owners == ("a", "b", "c")
    assert found.clusters == (0, 1, 2)
    assert found.shared == (("a", "b", 3), ("a", "c", 2), ("b", "c", 2))


def test_one_shared_picture_groups_nobody_unless_asked():
    clusters = [shared_by("a", "b")]
    assert owner_groups(clusters) == []
    assert owner_groups(clusters, at_least=1)[0].owners == ("a", "b")


def test_a_picture_that_everybody_has_ties_nobody():
    crowd = [f"seller-{n}" for n in range(60)]
    clusters = [shared_by(*crowd), shared_by(*crowd), shared_by("x", "y"), shared_by("x", "y")]
    assert [each.owners for each in owner_groups(clusters)] == [("x", "y")]


def test_two_rings_with_one_owner_in_common_stay_two():
    clusters = [shared_by(*"abcm"), shared_by(*"abcm"), shared_by(*"defm"), shared_by(*"defm")]
    assert sorted(len(each.owners) for each in owner_groups(clusters)) == [3, 4]


def test_a_cluster_of_one_owner_alone_makes_no_group_and_no_owner_is_none():
    assert owner_groups([shared_by("a", "a"), Cluster((Member("x"), Member("y")))], at_least=1) == []


def test_of_pictures_of_one_time_the_largest_is_presumed_to_be_the_original():
    times = {
        "a": ("2026-01-01T10:00:00.9Z", 500),
        "b": ("2026-01-01T10:00:00.9Z", 800),
        "c": ("2026-01-01T10:00:00.1Z", 9),
    }
    members = [Member(id, time, None, pixels) for id, (time, pixels) in times.items()]
    pairs = [("a", "b", 0.99), ("b", "c", 0.99), ("a", "c", 0.99)]
    assert [m.id for m in group(members, pairs).clusters[0].members] == ["c", "b", "a"]
    assert group(members[:2], pairs[:1]).clusters[0].original.id == "b"
    with pytest.raises(ValueError, match="gone"):
        group(members, pairs, followers=frozenset({"gone"}))
