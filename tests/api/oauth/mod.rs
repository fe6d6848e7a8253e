mod metadata;
mod token;
