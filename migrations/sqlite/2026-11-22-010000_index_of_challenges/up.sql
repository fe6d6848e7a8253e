-- Challenges are looked for by their user when the user is removed, or loses a factor; and by the foreign key, for each user that goes.
CREATE INDEX mfa_challenges_user_id ON mfa_challenges (user_id);
