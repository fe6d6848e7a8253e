DROP INDEX mfa_challenges_user_id;
