"""A simulator of students who learn skills, and the best possible prediction of their answers.

A student is a slow or a fast learner.  Of each skill it has a level, hidden like the pace.  Each
question asks for one skill and has a difficulty; the probability of a right answer rises with the
level.  After each answer the level of that skill may rise by one.  This is Bayesian knowledge
tracing with several levels, questions of different difficulty, and two paces of learning.

Given the pace, the skills are independent hidden Markov models.  So the forward algorithm computes
the probability of each answer given all earlier ones exactly, with the simulator's own parameters.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

SKILLS, LEVELS, QUESTIONS = 4, 3, 40
STEEPNESS = 2.2  # rise of the log-odds of a right answer from one level to the next
GUESS, SLIP = 0.08, 0.04  # probabilities of an answer that does not depend on the level
PACES = np.array([0.5, 0.5])  # shares of slow and fast learners
RISES = np.array([0.04, 0.22])  # probability of each pace that an answer raises the level
BEGINS = np.array([[0.7, 0.2, 0.1], [0.45, 0.35, 0.2]])  # first level, by pace


@dataclass(frozen=True, slots=True)
class Course:
    """The questions; S students with T answers each.

    Attributes:
        skill: Skill of each question (Q,).
        right: Probability of a right answer to each question at each level (Q, L).
        question: Questions (S, T) that each student gets.
        is_right: Whether (S, T) the answer is right.
    """

    skill: NDArray[np.int64]
    right: NDArray[np.float64]
    question: NDArray[np.int64]
    is_right: NDArray[np.bool_]

    def frame(self) -> pl.DataFrame:
        """Return the log, ordered by time: one event per answer, with its student's part."""
        students, answers = self.question.shape
        student = np.tile(np.arange(students), answers)
        question = self.question.T.ravel()
        tenth = student % 10
        part = np.array(["train"] * 7 + ["validation"] + ["test"] * 2)[tenth]
        frame = pl.DataFrame(
            {
                "student": student,
                "at": 1_767_225_600 + 60 * np.repeat(np.arange(answers), students),
                "question": [f"q{number}" for number in question.tolist()],
                "skill": [f"s{number}" for number in self.skill[question].tolist()],
                "right": self.is_right.T.ravel(),
                "part": part,
            }
        )
        sign = pl.when(pl.col("right")).then(pl.lit("+")).otherwise(pl.lit("-"))
        return frame.with_columns(answer=pl.col("skill") + sign)


def transition(rise: float) -> NDArray[np.float64]:
    """Return the probabilities (L, L) of the next level, by level."""
    moves = np.diag([1 - rise] * (LEVELS - 1) + [1.0])
    return moves + np.diag([rise] * (LEVELS - 1), 1)


def simulate(students: int, answers: int, seed: int) -> Course:
    """Draw questions, students and their answers."""
    rng = np.random.default_rng(seed)
    skill = np.arange(QUESTIONS) % SKILLS
    ease = STEEPNESS * (np.arange(LEVELS) - 1) - rng.normal(0, 1.2, QUESTIONS)[:, None]
    right = GUESS + (1 - GUESS - SLIP) / (1 + np.exp(-ease))  # (Q, L)
    pace = rng.choice(len(PACES), students, p=PACES)
    draws = rng.random((students, SKILLS, 1))
    level = (draws > BEGINS[pace].cumsum(axis=1)[:, None, :-1]).sum(axis=2)  # (S, K)
    question = rng.integers(0, QUESTIONS, (students, answers))
    is_right = np.zeros((students, answers), bool)
    everyone = np.arange(students)
    for at in range(answers):
        asked = question[:, at]
        now = level[everyone, skill[asked]]
        is_right[:, at] = rng.random(students) < right[asked, now]
        rises = rng.random(students) < RISES[pace]
        level[everyone, skill[asked]] = np.minimum(now + rises, LEVELS - 1)
    return Course(skill, right, question, is_right)


def best_predictions(course: Course) -> NDArray[np.float64]:
    """Return the probability (S, T) of a right answer given all earlier answers, exactly."""
    students, answers = course.question.shape
    pace = np.tile(PACES, (students, 1))  # (S, C) posterior of the pace
    level = np.tile(BEGINS[None, :, None, :], (students, 1, SKILLS, 1))  # (S, C, K, L)
    moves = np.stack([transition(rise) for rise in RISES])  # (C, L, L)
    everyone, result = np.arange(students), np.zeros((students, answers))
    for at in range(answers):
        asked = course.question[:, at]
        now = level[everyone, :, course.skill[asked]]  # (S, C, L)
        right = course.right[asked][:, None]  # (S, 1, L)
        result[:, at] = (pace * (now * right).sum(axis=2)).sum(axis=1)
        joint = now * np.where(course.is_right[:, at, None, None], right, 1 - right)
        evidence = joint.sum(axis=2)  # (S, C)
        pace = pace * evidence
        pace /= pace.sum(axis=1, keepdims=True)
        posterior = joint / evidence[:, :, None]
        level[everyone, :, course.skill[asked]] = np.einsum("scl,clm->scm", posterior, moves)
    return result
