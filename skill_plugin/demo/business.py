"""A small wholesale business as a SQLite database, with house conventions that nobody can guess from its schema."""

import random
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

REGIONS = ("north", "south", "east", "west")
SITES = ("Leeds", "Turin", "Porto")
CATEGORIES = ("cables", "lamps", "tools", "fittings")
FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2026, 3, 31)

SCHEMA = """\
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, region TEXT, tier TEXT, kind TEXT, x_del INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, placed_on TEXT, st INTEGER, total INTEGER, x_del INTEGER);
CREATE TABLE products (sku TEXT PRIMARY KEY, title TEXT, category TEXT, pack INTEGER, x_del INTEGER);
CREATE TABLE stock (sku TEXT, site TEXT, qty INTEGER);
CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer_id INTEGER, opened_on TEXT, prio INTEGER, st INTEGER, x_del INTEGER);"""


def build(path: Path, *, seed: int = 7) -> None:
    """Makes the database, the same one for the same seed; an existing one is replaced."""
    path.unlink(missing_ok=True)
    rng = random.Random(seed)  # noqa: S311 - sample data, not a secret
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", _customers(rng))
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", _orders(rng))
        products = _products(rng)
        connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?)", products)
        connection.executemany(
            "INSERT INTO stock VALUES (?, ?, ?)",
            [(sku, site, rng.randint(0, 60)) for sku, *_ in products for site in SITES],
        )
        connection.executemany("INSERT INTO tickets VALUES (?, ?, ?, ?, ?, ?)", _tickets(rng))


def _customers(rng: random.Random) -> list[tuple[object, ...]]:
    return [
        (
            number,
            f"{rng.choice(('Alba', 'Borro', 'Cora', 'Delft', 'Elm', 'Fjord'))} {rng.choice(('Ltd', 'SpA', 'Oy'))} {number}",
            rng.choice(REGIONS),
            rng.choices(("A", "B", "C"), (2, 3, 5))[0],
            rng.choices(("R", "T"), (9, 1))[0],
            _deleted(rng),
        )
        for number in range(1, 161)
    ]


def _orders(rng: random.Random) -> list[tuple[object, ...]]:
    return [
        (
            number,
            rng.randint(1, 160),
            _day(rng),
            rng.choices((20, 35, 40, 90), (2, 3, 6, 1))[0],
            rng.randint(900, 250_000),
            _deleted(rng),
        )
        for number in range(1, 1501)
    ]


def _products(rng: random.Random) -> list[tuple[object, ...]]:
    return [
        (f"P{number:03d}", f"{category} no. {number}", category, rng.choice((6, 10, 12, 24)), _deleted(rng))
        for number, category in enumerate(rng.choices(CATEGORIES, k=80), start=1)
    ]


def _tickets(rng: random.Random) -> list[tuple[object, ...]]:
    return [
        (number, rng.randint(1, 160), _day(rng), rng.choice((1, 5, 9)), rng.choice((1, 2, 7)), _deleted(rng))
        for number in range(1, 701)
    ]


def _day(rng: random.Random) -> str:
    return (FIRST_DAY + timedelta(days=rng.randrange((LAST_DAY - FIRST_DAY).days + 1))).isoformat()


def _deleted(rng: random.Random) -> int:
    return int(rng.random() < 0.12)
