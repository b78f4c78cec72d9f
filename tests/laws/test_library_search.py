"""Nearest brands: what must hold for any vectors, and that FAISS answers as the plain loop does."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from library_fakes import Colours

from vision.library import Library, NewBrand, NewReference, view
from vision.library.faiss_index import ApproximateIndex, FaissIndex
from vision.library.search import Hit, Table, nearest_brands

SEEDS = st.integers(0, 2**32 - 1)


def unit(random: np.random.Generator, n: int, d: int) -> np.ndarray:
    rows = random.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def table(random: np.random.Generator, rows: int, brands: int, d: int) -> Table:
    """Vectors as the library holds them (float16 numbers), some of them twice, in brands of uneven size."""
    vectors = unit(random, rows, d)
    vectors[random.integers(0, rows, rows // 4)] = vectors[random.integers(0, rows, rows // 4)]
    owner = np.sort(np.concatenate([np.arange(brands), random.integers(0, brands, rows - brands)]))
    rank = random.permutation(rows)
    return Table(vectors.astype(np.float16).astype(np.float32), owner, rank)


def plain_loop(query: np.ndarray, t: Table, k: int) -> list[Hit]:
    best: dict[int, tuple[float, int, int]] = {}
    for row in range(len(t)):
        similarity = float(np.einsum("d,d->", t.vectors[row].astype(np.float64), query.astype(np.float64)))
        key = (-similarity, int(t.rank[row]), row)
        brand = int(t.brand[row])
        best[brand] = min(best.get(brand, key), key)
    return [Hit(row, -negative) for negative, _, row in sorted(best.values())[:k]]


def agree(found: list[Hit], wanted: list[Hit]) -> bool:
    return [h.row for h in found] == [h.row for h in wanted] and np.allclose(
        [h.similarity for h in found], [np.clip(h.similarity, -1, 1) for h in wanted], atol=1e-9
    )


@given(SEEDS, st.integers(1, 300), st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_matrix_product_and_faiss_find_what_a_plain_loop_finds(seed: int, rows: int, brands: int, k: int) -> None:
    random = np.random.default_rng(seed)
    t = table(random, rows, min(brands, rows), 8)
    queries = np.concatenate([unit(random, 3, 8), t.vectors[:2]])
    wanted = [plain_loop(query, t, k) for query in queries]
    assert all(map(agree, nearest_brands(queries, t, k), wanted))
    assert all(map(agree, FaissIndex(t).nearest_brands(queries, k), wanted))


def test_faiss_looks_further_when_one_brand_fills_its_first_answer() -> None:
    # 500 rows of one brand lie nearer than the only row of the other: the first 64 neighbors are all of one brand
    random = np.random.default_rng(3)
    near = np.tile(np.eye(1, 8, dtype=np.float32), (500, 1)) + random.normal(scale=0.01, size=(500, 8)).astype(
        np.float32
    )
    vectors = np.concatenate([near, np.eye(8, dtype=np.float32)[1:2]])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    t = Table(vectors, np.repeat([0, 1], [500, 1]), np.arange(501))
    query = np.eye(1, 8, dtype=np.float32)
    found = FaissIndex(t).nearest_brands(query, 2)[0]
    assert agree(found, plain_loop(query[0], t, 2))
    assert found[1].row == 500


def test_faiss_looks_further_when_its_last_row_is_as_near_as_the_best() -> None:
    # 200 equal rows: whichever 64 FAISS names first, the answer is the one whose reference id comes first
    t = Table(np.tile(np.eye(1, 8, dtype=np.float32), (200, 1)), np.repeat([0, 1], 100), np.arange(200)[::-1].copy())
    query = np.eye(1, 8, dtype=np.float32)
    assert [h.row for h in FaissIndex(t).nearest_brands(query, 2)[0]] == [199, 99]


@given(SEEDS, st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_a_larger_library_never_lowers_the_best_similarity(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    large = table(random, rows, 2, 6)
    half = len(large) // 2 or 1
    small = Table(large.vectors[:half], large.brand[:half] - large.brand[0], large.rank[:half])
    queries = unit(random, 4, 6)
    before, after = nearest_brands(queries, small, 1), nearest_brands(queries, large, 1)
    assert all(b[0].similarity <= a[0].similarity for b, a in zip(before, after, strict=True))


@given(SEEDS, st.integers(1, 80), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_answers_hold_different_brands_best_first_and_no_filler(seed: int, rows: int, k: int) -> None:
    random = np.random.default_rng(seed)
    t = table(random, rows, max(1, rows // 3), 6)
    for hits in nearest_brands(unit(random, 3, 6), t, k):
        brands = [int(t.brand[h.row]) for h in hits]
        assert len(set(brands)) == len(brands) == min(k, max(1, rows // 3))
        assert [h.similarity for h in hits] == sorted((h.similarity for h in hits), reverse=True)


def test_equal_cosines_come_in_the_order_of_reference_ids() -> None:
    vectors = np.tile(np.eye(1, 4, dtype=np.float32), (3, 1))
    t = Table(vectors, np.arange(3), np.array([2, 0, 1]))
    query = np.eye(1, 4, dtype=np.float32)
    assert [h.row for h in nearest_brands(query, t, 3)[0]] == [1, 2, 0]
    assert [h.row for h in FaissIndex(t).nearest_brands(query, 2)[0]] == [1, 2]


def test_an_answer_does_not_depend_on_the_other_queries_of_its_batch() -> None:
    random = np.random.default_rng(5)
    t, queries = table(random, 400, 60, 32), unit(random, 40, 32)
    together = nearest_brands(queries, t, 5)
    assert together == [nearest_brands(query[None], t, 5)[0] for query in queries]
    assert together == FaissIndex(t).nearest_brands(queries, 5)


def test_a_query_that_is_not_a_number_finds_nothing_and_spoils_nothing() -> None:
    random = np.random.default_rng(6)
    t, queries = table(random, 50, 10, 4), unit(random, 3, 4)
    wanted = nearest_brands(queries[2:], t, 2)[0]
    queries[1] = np.nan
    for found in (nearest_brands(queries, t, 2), FaissIndex(t).nearest_brands(queries, 2)):
        assert found[1] == []
        assert found[2] == wanted


def test_an_empty_library_answers_with_nothing() -> None:
    empty = Table(np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert nearest_brands(np.eye(4, dtype=np.float32)[:2], empty, 5) == [[], []]
    assert FaissIndex(empty).nearest_brands(np.eye(4, dtype=np.float32)[:2], 5) == [[], []]


# --- large tables ---


def large(random: np.random.Generator, rows: int, d: int) -> Table:
    """Brands of 5 rows each that lie round a point of their own, as float16."""
    centres = unit(random, rows // 5, d)
    vectors = np.repeat(centres, 5, axis=0) + 0.5 * unit(random, rows, d)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Table(vectors.astype(np.float16), np.repeat(np.arange(rows // 5), 5), random.permutation(rows))


def test_the_approximate_index_finds_the_nearest_in_99_of_100_searches_and_never_a_wrong_similarity() -> None:
    random = np.random.default_rng(7)
    t = large(random, 20_000, 64)
    near = t.vectors[random.integers(0, len(t), 150)].astype(np.float32) + 0.8 * unit(random, 150, 64)
    queries = np.concatenate([near / np.linalg.norm(near, axis=1, keepdims=True), unit(random, 150, 64)])
    exact = Table(t.vectors.astype(np.float32), t.brand, t.rank)
    wanted, found = nearest_brands(queries, exact, 5), ApproximateIndex(t).nearest_brands(queries, 5)
    assert np.mean([f[0] == w[0] for f, w in zip(found, wanted, strict=True)]) >= 0.99
    for hits in found:
        assert len({int(t.brand[h.row]) for h in hits}) == 5
        assert [h.similarity for h in hits] == sorted((h.similarity for h in hits), reverse=True)
    rows = t.vectors[[h.row for hits in found for h in hits]].astype(np.float64)
    cosines = np.einsum("nd,nd->n", rows, np.repeat(queries, 5, axis=0).astype(np.float64))
    assert np.allclose(np.clip(cosines, -1, 1), [h.similarity for hits in found for h in hits], atol=1e-12)


def test_the_approximate_index_looks_further_when_one_brand_fills_its_first_answer() -> None:
    random = np.random.default_rng(8)
    near = unit(random, 900, 8) * 0.05 + np.eye(1, 8, dtype=np.float32)
    vectors = np.concatenate([near, -np.eye(8, dtype=np.float32)[:3]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    t = Table(vectors.astype(np.float16), np.repeat([0, 1, 2, 3], [900, 1, 1, 1]), np.arange(903))
    found = ApproximateIndex(t).nearest_brands(np.eye(1, 8, dtype=np.float32), 4)[0]
    assert [int(t.brand[h.row]) for h in found] == [0, 2, 3, 1]


def test_the_approximate_index_gives_the_same_answer_alone_and_in_a_batch_and_nothing_for_what_is_no_number() -> None:
    random = np.random.default_rng(9)
    t, queries = large(random, 2000, 32), unit(random, 40, 32)
    index = ApproximateIndex(t)
    together = index.nearest_brands(queries, 3)
    assert together == [index.nearest_brands(query[None], 3)[0] for query in queries]
    assert together == ApproximateIndex(t).nearest_brands(queries, 3)  # made again, the same
    queries[3, 5] = np.nan
    assert index.nearest_brands(queries, 3) == [*together[:3], [], *together[4:]]


def test_a_large_library_is_searched_by_the_approximate_index_and_a_small_one_is_not(tmp_path, monkeypatch) -> None:
    random = np.random.default_rng(10)
    brands = [NewBrand(f"B{number}", [NewReference(row[None]) for row in unit(random, 4, 49)]) for number in range(200)]
    library = Library.build(tmp_path / "large", brands, embedder=Colours())
    queries = library.all_vectors()[:20] + 0.5 * unit(random, 20, 49)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    exact = library.search_embeddings(queries)
    assert isinstance(library._view.index, FaissIndex)
    monkeypatch.setattr(view, "APPROXIMATE_FROM", 700)
    library = Library.open(library.path)
    for number in (20, 3):  # however many queries
        assert library.search_embeddings(queries[:number]) == exact[:number]
    assert isinstance(library._view.index, ApproximateIndex)
    assert library.nearest_of(queries[:1], [["B0"]])[0][0] == exact[0][0]
    assert library.all_vectors().dtype == np.float32
    assert np.array_equal(library.vectors("b7/2"), library.all_vectors()[29:30])
