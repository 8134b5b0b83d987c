"""Who may do what: links, consent, other raters' tasks, models that have changed."""

import pytest

from rating.app import conversation, raters, tasks
from rating.app.store import Store, note_models
from selfevolve.runtime.errors import InputError
from tests.support.rating_store import Rater, nonce, refused


def test_another_rater_s_task_is_as_if_it_were_not_there(pointwise: Store):
    owner, other = Rater(pointwise), Rater(pointwise)
    task = owner.next()
    for act, *more in (
        (conversation.post_message, "x"),
        (conversation.choose, 1, "a"),
        (tasks.save_rating, "empathy", 3),
        (tasks.submit,),
        (tasks.close, "discarded"),
        (tasks.close, "ended"),
    ):
        for task_id in (task.id, "r999-01", "'; --", "x" * 99):
            refused("not_yours", other.act, act, task_id, *more)
    refused("not_yours", other.look, task.id)


def test_links_can_be_taken_back_and_made_anew(pointwise: Store):
    rater = Rater(pointwise)
    task = rater.next()
    with pointwise.writing() as db:
        raters.revoke(db, rater.id)
    with pointwise.reading() as db:
        refused("revoked", raters.Rater.of, db, pointwise.study, rater.token)
    refused("revoked", rater.act, conversation.post_message, task.id, "Hello.")
    with pointwise.writing() as db:
        token = raters.renew(db, rater.id)
    with pointwise.reading() as db:
        assert raters.Rater.of(db, pointwise.study, token).row.name == rater.name
        refused("unknown_token", raters.Rater.of, db, pointwise.study, rater.token)
        refused("unknown_token", raters.Rater.of, db, pointwise.study, "\ud800")
    rater.token = token
    assert rater.next().id == task.id


def test_consent_comes_first(pointwise: Store):
    with pointwise.writing() as db:
        (token,) = raters.invite(db, 1).values()
    with pointwise.writing() as db:
        rater = raters.Rater.of(db, pointwise.study, token)
        refused("no_consent", tasks.next_task, rater)
        refused("bad_value", rater.set_language, "fr", nonce(), consent=True)


def test_a_model_that_has_changed_is_refused(pointwise: Store):
    with pointwise.writing() as db:
        note_models(db, {"m0": "a" * 64, "m1": "b" * 64})
    with pointwise.writing() as db:
        note_models(db, {"m0": "a" * 64})
    with pytest.raises(InputError, match="m1 has changed"), pointwise.writing() as db:
        note_models(db, {"m1": "c" * 64})
