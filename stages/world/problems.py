"""All problems of the mini world, and the way from a problem's phrase to the problem."""

from stages.world.problem import Problem
from stages.world.problems_relations import RELATIONS
from stages.world.problems_self import SELF
from stages.world.problems_work_study import WORK_AND_STUDY

PROBLEMS: tuple[Problem, ...] = (*WORK_AND_STUDY, *RELATIONS, *SELF)
BY_PHRASE: dict[str, Problem] = {problem.phrase: problem for problem in PROBLEMS}
